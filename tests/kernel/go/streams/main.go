// gRPC services over grpc-go, of a version that go.mod says (1.50 and later); with `tls` behind it they take and ask over TLS.
// leaf: answers after 10 ms. relay and an address: asks that one twice before it answers, with the number of its own
// request, and once from a goroutine that it does not wait for first. ask, an address, requests, clients: these, each with a
// number, on four connections.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

var isTLS = slices.Contains(os.Args, "tls")

func dial(address string) *grpc.ClientConn {
	side := insecure.NewCredentials()
	if isTLS {
		side = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
	}
	connection, err := grpc.Dial(address, grpc.WithTransportCredentials(side))
	if err != nil {
		panic(err)
	}
	return connection
}

// `Aside` is the method of calls that a handler's goroutine does not make itself.
func call(ctx context.Context, connection *grpc.ClientConn, method, id string) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", id)
	return connection.Invoke(ctx, "/shop.Cart/"+method, wrapperspb.String("0"), new(text))
}

func serve(work func(ctx context.Context, id string) error) {
	handler := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		if err := decode(new(text)); err != nil {
			return nil, err
		}
		said, _ := metadata.FromIncomingContext(ctx)
		return wrapperspb.String("done"), work(ctx, said.Get("x-request-id")[0])
	}
	side := insecure.NewCredentials()
	if isTLS {
		made := httptest.NewUnstartedServer(nil)
		made.StartTLS()
		side = credentials.NewTLS(&tls.Config{Certificates: made.TLS.Certificates})
		made.Close()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer(grpc.Creds(side))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.Cart",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Add", Handler: handler},
			{MethodName: "Aside", Handler: handler},
		},
	}, nil)
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	panic(server.Serve(listener))
}

func relay(address string) {
	next := dial(address)
	serve(func(ctx context.Context, id string) error {
		aside := make(chan error)
		go func() { aside <- call(ctx, next, "Aside", id) }()
		for range 2 {
			if err := call(ctx, next, "Add", id); err != nil {
				return err
			}
		}
		return <-aside
	})
}

func ask(address string, requests, clients int) {
	var connections []*grpc.ClientConn
	for range 4 {
		connections = append(connections, dial(address))
	}
	var all sync.WaitGroup
	for client := range clients {
		all.Add(1)
		go func() {
			defer all.Done()
			for number := range requests / clients {
				id := fmt.Sprintf("r-%d-%d", client, number)
				if err := call(context.Background(), connections[client%4], "Add", id); err != nil {
					panic(err)
				}
			}
		}()
	}
	all.Wait()
}

func number(text string) int {
	number, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return number
}

func main() {
	switch os.Args[1] {
	case "leaf":
		serve(func(context.Context, string) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		})
	case "relay":
		relay(os.Args[2])
	case "ask":
		ask(os.Args[2], number(os.Args[3]), number(os.Args[4]))
	}
}
