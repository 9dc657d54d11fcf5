// A server and a client over crypto/tls in one program: /warm until a line comes, then as many requests as asked for.
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
	"strconv"
	"sync"
	"time"
)

func handle(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/missing":
		w.WriteHeader(404)
	case "/broken":
		w.WriteHeader(500)
	}
	fmt.Fprint(w, "hello")
}

func client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext:     (&net.Dialer{}).DialContext,
	}}
}

func ask(c *http.Client, url string) {
	answer, err := c.Get(url)
	if err != nil {
		panic(err)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}

func main() {
	number, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(handle))
	told := make(chan struct{})
	go func() {
		bufio.NewReader(os.Stdin).ReadString('\n')
		close(told)
	}()
	warm := client()
	for waiting := true; waiting; {
		select {
		case <-told:
			waiting = false
		case <-time.After(20 * time.Millisecond):
			ask(warm, server.URL+"/warm")
		}
	}
	warm.CloseIdleConnections()
	paths := []string{"/ok", "/missing", "/ok", "/ok", "/broken", "/ok"}
	var all sync.WaitGroup
	for part := 0; part < 5; part++ {
		all.Add(1)
		go func() {
			defer all.Done()
			c := client()
			for index := 0; index < number/5; index++ {
				ask(c, server.URL+paths[index%len(paths)])
			}
			c.CloseIdleConnections()
		}()
	}
	all.Wait()
	server.Close()
}
