// A goroutine per connection: asks the next service, if there is one, before it answers; with a second argument it serves
// over TLS.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
)

func main() {
	next := ""
	if len(os.Args) > 1 {
		next = os.Args[1]
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		if next != "" {
			asked, err := http.NewRequestWithContext(request.Context(), "GET", "http://"+next+request.URL.Path, nil)
			if err != nil {
				panic(err)
			}
			asked.Header.Set("X-Request-Id", request.Header.Get("X-Request-Id"))
			got, err := client.Do(asked)
			if err != nil {
				panic(err)
			}
			io.Copy(io.Discard, got.Body)
			got.Body.Close()
		}
		io.WriteString(answer, "ok")
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	if len(os.Args) > 2 {
		made := httptest.NewUnstartedServer(nil)
		made.StartTLS()
		// one request at a time on a connection, as its client has it
		config := &tls.Config{Certificates: made.TLS.Certificates, NextProtos: []string{"http/1.1"}}
		server := &http.Server{TLSConfig: config}
		panic(server.ServeTLS(listener, "", ""))
	}
	panic(http.Serve(listener, nil))
}
