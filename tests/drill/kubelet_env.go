// SPDX-License-Identifier: Apache-2.0

// kubelet-env prints the variables NAME… of an env file as the kubelet reads them for fileKeyRef: by its own code.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/kubernetes/pkg/kubelet/util/env"
)

func main() {
	values := map[string]string{}
	for _, name := range os.Args[2:] {
		value, err := env.ParseEnv(os.Args[1], name)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		values[name] = value
	}
	_ = json.NewEncoder(os.Stdout).Encode(values)
}
