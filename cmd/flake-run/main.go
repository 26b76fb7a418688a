// Command flake-run runs a command in an image without registering it.
package main

import (
	"os"

	_ "github.com/flake-launcher/flake-launcher/launcher/early/front" // starts without Go what it can
	"github.com/flake-launcher/flake-launcher/launcher/run"
)

func main() { os.Exit(run.Main(os.Args[1:], os.Stdout, os.Stderr)) }
