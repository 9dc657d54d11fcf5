// gRPC services over grpc-go, of a version that go.mod says (1.50 and later); with `tls` behind it they take and ask over TLS.
// leaf: answers after 10 ms, and HTTP/1 on the next port. relay and an address: asks that one twice before it answers, and once
// by what its handler itself writes to a connection, with the number of its own request, and once from a goroutine that it
// does not wait for first. ask, an address, requests, clients: these, each with a
// number, on four connections.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
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

// Connections on which nobody waits for an answer.
type pool struct {
	address string
	idle    chan net.Conn
}

func (pool *pool) call(id string) error {
	var connection net.Conn
	select {
	case connection = <-pool.idle:
	default:
		made, err := net.Dial("tcp", pool.address)
		if err != nil {
			return err
		}
		connection = made
	}
	fmt.Fprintf(connection, "GET /Add HTTP/1.1\r\nhost: leaf\r\nx-request-id: %s\r\n\r\n", id)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	pool.idle <- connection
	return err
}

// Two listeners, on a port and on the next one.
func listen() (net.Listener, net.Listener) {
	for {
		one, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		next := one.Addr().(*net.TCPAddr).Port + 1
		if two, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(next)); err == nil {
			return one, two
		}
	}
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
	listener, plain := listen()
	go http.Serve(plain, http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if err := work(request.Context(), request.Header.Get("x-request-id")); err != nil {
			panic(err)
		}
		fmt.Fprintln(answer, "done")
	}))
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
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		panic(err)
	}
	raw := &pool{net.JoinHostPort(host, strconv.Itoa(number(port)+1)), make(chan net.Conn, 1024)}
	serve(func(ctx context.Context, id string) error {
		aside := make(chan error)
		go func() { aside <- call(ctx, next, "Aside", id) }()
		for range 2 {
			if err := call(ctx, next, "Add", id); err != nil {
				return err
			}
		}
		if err := raw.call(id); err != nil {
			return err
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
