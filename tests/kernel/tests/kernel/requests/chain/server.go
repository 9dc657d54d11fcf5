// A goroutine per connection: asks the next service, if there is one, before it answers, over TLS where its address begins
// with https://. With a second argument it serves over TLS, with a third one it takes so many milliseconds.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"
)

func main() {
	next := ""
	if len(os.Args) > 1 {
		next = os.Args[1]
	}
	if next != "" && !strings.HasPrefix(next, "https://") {
		next = "http://" + next
	}
	pause := time.Duration(0)
	if len(os.Args) > 3 {
		pause, _ = time.ParseDuration(os.Args[3] + "ms")
	}
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64,
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}},
	}}
	http.HandleFunc("/", func(answer http.ResponseWriter, request *http.Request) {
		time.Sleep(pause)
		if next != "" {
			asked, err := http.NewRequestWithContext(request.Context(), "GET", next+request.URL.Path, nil)
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
