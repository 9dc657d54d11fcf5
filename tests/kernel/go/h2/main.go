// Services over net/http and TLS: HTTP/2, or HTTP/1 for who asks with `h1` behind it.
// leaf: answers after 10 ms, and on the next port over without TLS. relay and an address: asks that one over HTTP/2, over
// HTTP/1, and by what the handler itself writes to a connection, with the number of its own request, and once from a
// goroutine that it does not wait for first. ask, an address, requests, clients: these, each with a number, on four
// connections.
package main

import (
	"bufio"
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
)

var isOld = slices.Contains(os.Args, "h1")

func client(isOld bool) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2:   !isOld,
		MaxIdleConnsPerHost: 64,
	}
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// `Aside` is the path of calls that a handler's goroutine does not make itself.
func call(client *http.Client, address, path, id string) error {
	request, err := http.NewRequest("GET", "https://"+address+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("x-request-id", id)
	return done(client.Do(request))
}

func done(response *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
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
	err := done(http.ReadResponse(bufio.NewReader(connection), nil))
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

func serve(work func(id string) error) {
	handler := http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		if err := work(request.Header.Get("x-request-id")); err != nil {
			panic(err)
		}
		fmt.Fprintln(answer, "done")
	})
	made := httptest.NewUnstartedServer(nil)
	made.StartTLS()
	config := &tls.Config{Certificates: made.TLS.Certificates}
	made.Close()
	encrypted, plain := listen()
	go http.Serve(plain, handler)
	fmt.Println("port", encrypted.Addr().(*net.TCPAddr).Port)
	server := &http.Server{Handler: handler, TLSConfig: config}
	panic(server.ServeTLS(encrypted, "", ""))
}

func relay(address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		panic(err)
	}
	raw := &pool{net.JoinHostPort(host, strconv.Itoa(number(port)+1)), make(chan net.Conn, 1024)}
	newer, older := client(false), client(true)
	serve(func(id string) error {
		aside := make(chan error)
		go func() { aside <- call(newer, address, "/Aside", id) }()
		for _, client := range []*http.Client{newer, older} {
			if err := call(client, address, "/Add", id); err != nil {
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
	var connections []*http.Client
	for range make([]int, 4) {
		connections = append(connections, client(isOld))
	}
	var all sync.WaitGroup
	for one := 0; one < clients; one++ {
		one := one
		all.Add(1)
		go func() {
			defer all.Done()
			for number := 0; number < requests/clients; number++ {
				id := fmt.Sprintf("r-%d-%d", one, number)
				if err := call(connections[one%4], address, "/Add", id); err != nil {
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
		serve(func(string) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		})
	case "relay":
		relay(os.Args[2])
	case "ask":
		ask(os.Args[2], number(os.Args[3]), number(os.Args[4]))
	}
}
