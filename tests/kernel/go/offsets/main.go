// Prints where releases of grpc-go have the fields that agent/src/tls/grpc.rs is about, by go/types with the sizes of gc, from their
// sources alone. For each release: go mod download google.golang.org/grpc@VERSION; then GOMODCACHE=$(go env GOMODCACHE) go run . VERSION...
package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"strings"
)

var fset = token.NewFileSet()
var std = importer.ForCompiler(fset, "source", nil)
var known = map[string]*types.Package{}
var root string

type local struct{}

func (local) Import(path string) (*types.Package, error) {
	if found := known[path]; found != nil {
		return found, nil
	}
	const module = "google.golang.org/grpc"
	if path == module || strings.HasPrefix(path, module+"/") {
		return check(path, filepath.Join(root, strings.TrimPrefix(path, module)))
	}
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return std.Import(path)
	}
	empty := types.NewPackage(path, filepath.Base(path))
	empty.MarkComplete()
	known[path] = empty
	return empty, nil
}

func check(path, directory string) (*types.Package, error) {
	context := build.Default
	context.CgoEnabled = false
	found, err := context.ImportDir(directory, 0)
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range found.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(directory, name), nil, 0)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	config := types.Config{Importer: local{}, IgnoreFuncBodies: true, Error: func(error) {}, FakeImportC: true,
		Sizes: types.SizesFor("gc", "amd64")}
	made, _ := config.Check(path, fset, files, nil)
	known[path] = made
	return made, nil
}

func isWhole(of types.Type) bool {
	switch of := of.Underlying().(type) {
	case *types.Basic:
		return of.Kind() != types.Invalid
	case *types.Struct:
		for i := range of.NumFields() {
			if !isWhole(of.Field(i).Type()) {
				return false
			}
		}
	case *types.Array:
		return isWhole(of.Elem())
	}
	return true
}

func offset(pkg *types.Package, name, field string) (at int64, kind string) {
	object := pkg.Scope().Lookup(name)
	if object == nil {
		return -1, "none"
	}
	of, ok := object.Type().Underlying().(*types.Struct)
	if !ok {
		return -1, "none"
	}
	var fields []*types.Var
	for i := range of.NumFields() {
		one := of.Field(i)
		fields = append(fields, one)
		if !isWhole(one.Type()) {
			return -2, "invalid before: " + one.Name()
		}
		if one.Name() == field {
			sizes := types.SizesFor("gc", "amd64")
			return sizes.Offsetsof(fields)[i], types.TypeString(one.Type(), func(p *types.Package) string { return p.Name() })
		}
	}
	return -1, "none"
}

func main() {
	for _, version := range os.Args[1:] {
		root = filepath.Join(os.Getenv("GOMODCACHE"), "google.golang.org/grpc@"+version)
		clear(known)
		pkg, err := check("google.golang.org/grpc/internal/transport", root+"/internal/transport")
		if err != nil {
			fmt.Println(version, err)
			continue
		}
		fmt.Print(version)
		for _, wanted := range [][2]string{{"Stream", "id"}, {"Stream", "ct"}, {"ClientStream", "Stream"}, {"ServerStream", "Stream"}, {"ClientStream", "ct"}, {"http2Client", "conn"}, {"http2Server", "conn"}} {
			at, kind := offset(pkg, wanted[0], wanted[1])
			if at != -1 {
				fmt.Printf("  %s.%s %d %s", wanted[0], wanted[1], at, kind)
			}
		}
		fmt.Println()
	}
}
