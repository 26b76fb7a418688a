// Command flake-launcher is what the links of flakes point to: it starts the flake it is called as.
package main

import (
	"os"

	"github.com/flake-launcher/flake-launcher/launcher"
	"github.com/flake-launcher/flake-launcher/launcher/early/front" // starts without Go what it can
	"github.com/flake-launcher/flake-launcher/nsexec"
)

func main() {
	nsexec.CallersIgnored = front.Ignored()
	os.Exit(launcher.Main(os.Args))
}
