// Command flake-run runs a command in an image without registering it.
package main

import (
	"os"

	"github.com/flake-launcher/flake-launcher/launcher/early/front" // starts without Go what it can
	"github.com/flake-launcher/flake-launcher/launcher/run"
	"github.com/flake-launcher/flake-launcher/nsexec"
)

func main() {
	nsexec.CallersIgnored = front.Ignored()
	os.Exit(run.Main(os.Args[1:], os.Stdout, os.Stderr))
}
