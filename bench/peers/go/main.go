// Casbin and OPA as libraries: peers (casbin|opa) WORKLOAD.json SECONDS
package main

import (
	"fmt"
	"os"
	"strconv"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: peers (casbin|opa) WORKLOAD.json SECONDS")
		os.Exit(2)
	}
	all := read(os.Args[2])
	seconds, err := strconv.ParseFloat(os.Args[3], 64)
	if err == nil {
		switch os.Args[1] {
		case "casbin":
			err = runCasbin(all, seconds)
		case "opa":
			err = runOpa(all, seconds)
		default:
			err = fmt.Errorf("no such peer: %s", os.Args[1])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
