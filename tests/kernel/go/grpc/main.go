// A gRPC server and client in one program, over grpc-go: N calls of known statuses on three connections, over TLS if asked.
// With `many` on eight connections with 32 calls at a time each, and answers of 1 KiB. With `serve` and an address a server that asks that one before it answers.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type text = wrapperspb.StringValue

// What an answer says.
var added = "added"

// What is asked for is what is answered.
func answer(code string) error {
	number, err := strconv.Atoi(code)
	if err != nil {
		return status.Error(codes.InvalidArgument, "no number")
	}
	if number == 0 {
		return nil
	}
	return status.Error(codes.Code(number), "as asked")
}

func add(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	in := new(text)
	if err := decode(in); err != nil {
		return nil, err
	}
	if err := answer(in.Value); err != nil {
		return nil, err
	}
	return wrapperspb.String(added), nil
}

func list(_ any, stream grpc.ServerStream) error {
	in := new(text)
	if err := stream.RecvMsg(in); err != nil {
		return err
	}
	for range 3 {
		if err := stream.SendMsg(wrapperspb.String("one more")); err != nil {
			return err
		}
	}
	return answer(in.Value)
}

var cart = grpc.ServiceDesc{
	ServiceName: "shop.Cart",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Add", Handler: add}},
	Streams:     []grpc.StreamDesc{{StreamName: "List", Handler: list, ServerStreams: true}},
}

func ask(connection *grpc.ClientConn, index int) {
	wanted := []codes.Code{0, 5, 0, 13, 0, 14}[index%6]
	in := wrapperspb.String(strconv.Itoa(int(wanted)))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var err error
	if index%6 == 4 {
		var stream grpc.ClientStream
		stream, err = connection.NewStream(ctx, &cart.Streams[0], "/shop.Cart/List")
		if err == nil {
			err = stream.SendMsg(in)
		}
		if err == nil {
			err = stream.CloseSend()
		}
		for err == nil {
			err = stream.RecvMsg(new(text))
		}
		if err.Error() == "EOF" {
			err = nil
		}
	} else {
		err = connection.Invoke(ctx, "/shop.Cart/Add", in, new(text))
	}
	if status.Code(err) != wanted {
		panic(fmt.Sprint(index, wanted, err))
	}
}

// Passes each call on, with its number.
func relay(address string) {
	next, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	pass := func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(text)
		if err := decode(in); err != nil {
			return nil, err
		}
		ids := metadata.ValueFromIncomingContext(ctx, "x-request-id")
		ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", ids[0])
		out := new(text)
		return out, next.Invoke(ctx, "/shop.Cart/Add", in, out)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.Cart",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Add", Handler: pass}},
	}, nil)
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	panic(server.Serve(listener))
}

func main() {
	if os.Args[1] == "serve" {
		relay(os.Args[2])
	}
	number, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	serverSide, clientSide := insecure.NewCredentials(), insecure.NewCredentials()
	isTLS, isMany := slices.Contains(os.Args, "tls"), slices.Contains(os.Args, "many")
	if isTLS {
		made := httptest.NewUnstartedServer(nil)
		made.StartTLS()
		serverSide = credentials.NewTLS(&tls.Config{Certificates: made.TLS.Certificates})
		clientSide = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
		made.Close()
	}
	server := grpc.NewServer(grpc.Creds(serverSide))
	server.RegisterService(&cart, nil)
	go server.Serve(listener)
	dial := func() *grpc.ClientConn {
		connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(clientSide))
		if err != nil {
			panic(err)
		}
		return connection
	}
	// where somebody has to find the program first, until a line comes
	if isTLS {
		told := make(chan struct{})
		go func() {
			bufio.NewReader(os.Stdin).ReadString('\n')
			close(told)
		}()
		warm := dial()
		for waiting := true; waiting; {
			select {
			case <-told:
				waiting = false
			case <-time.After(20 * time.Millisecond):
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				if err := warm.Invoke(ctx, "/shop.Cart/Warm", wrapperspb.String("0"), new(text)); status.Code(err) != codes.Unimplemented {
					panic(err)
				}
				cancel()
				// a connection of before is met in its middle
				warm.Close()
				warm = dial()
			}
		}
		warm.Close()
	}
	connections, calls := 3, 4
	if isMany {
		connections, calls = 8, 32
		added = strings.Repeat("added ", 170)
	}
	var all sync.WaitGroup
	for range connections {
		connection := dial()
		var some sync.WaitGroup
		for range calls {
			some.Add(1)
			all.Add(1)
			go func() {
				defer all.Done()
				defer some.Done()
				for index := range number / (connections * calls) {
					ask(connection, index)
				}
			}()
		}
		all.Add(1)
		go func() {
			defer all.Done()
			some.Wait()
			connection.Close()
		}()
	}
	all.Wait()
	server.GracefulStop()
}
