// Command generate trains the embedded demo model and writes it beside its
// package: go generate ./scoring/demomodel.
package main

import (
	"fmt"
	"os"

	"clickgate/scoring/demomodel"
)

func main() {
	m, err := demomodel.Train()
	if err == nil {
		err = os.WriteFile("demo.cgif", m.Bytes(), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
	fmt.Printf("demo.cgif: model %016x, %d rows\n", m.Hash(), m.Info().Rows)
}
