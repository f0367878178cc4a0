// Probe shows from inside a pod what works there.
//
//	probe listen PORT   answers every HTTP request with 200
//	probe say WORDS     prints them
//	probe api PATH      asks the API server, with the pod's own ServiceAccount and by the Service's address
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	switch os.Args[1] {
	case "listen":
		answer := func(out http.ResponseWriter, _ *http.Request) { fmt.Fprintln(out, "ok") }
		log.Fatal(http.ListenAndServe(":"+os.Args[2], http.HandlerFunc(answer)))
	case "say":
		fmt.Println(strings.Join(os.Args[2:], " "))
	case "api":
		ask(os.Args[2])
	}
}

func ask(path string) {
	authority := x509.NewCertPool()
	authority.AppendCertsFromPEM(read("ca.crt"))
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authority}}}
	server := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	request, err := http.NewRequest("GET", "https://"+server+path, nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+string(read("token")))
	answer, err := client.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	body, _ := io.ReadAll(answer.Body)
	fmt.Println(answer.StatusCode, string(body))
}

func read(name string) []byte {
	content, err := os.ReadFile(account + name)
	if err != nil {
		log.Fatal(err)
	}
	return content
}
