// Command flake-launcher is what the links of flakes point to: it starts the flake it is called as.
package main

import (
	"os"

	"github.com/flake-launcher/flake-launcher/launcher"
	_ "github.com/flake-launcher/flake-launcher/launcher/early/front" // starts without Go what it can
)

func main() { os.Exit(launcher.Main(os.Args)) }
