// Command flake-launcher is what the links of flakes point to: it starts the flake it is called as.
package main

import (
	"os"

	"github.com/flake-launcher/flake-launcher/launcher"
)

func main() { os.Exit(launcher.Main(os.Args)) }
