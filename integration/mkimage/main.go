package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/flake-launcher/flake-launcher/integration/image"
)

type cli struct {
	Layer layerCmd `cmd:"" help:"Pack a directory as an uncompressed layer."`
	Image imageCmd `cmd:"" help:"Put layers together as a docker-archive or an OCI layout."`
}

type layerCmd struct {
	Output    string `required:"" help:"File to write."`
	Whiteouts string `default:"keep" enum:"keep,oci,drop" help:"What 0:0 devices become: keep, oci, drop."`
	Dir       string `arg:"" type:"existingdir" help:"Root of the tree."`
}

func (c *layerCmd) Run() error {
	return image.TreeFile(c.Output, c.Dir, image.Whiteouts(c.Whiteouts))
}

type imageCmd struct {
	Output      string   `required:"" help:"Archive to write (.tar, .tar.gz, .tar.xz, .tar.zst), or directory of a layout with --layout."`
	Layout      bool     `help:"Write an OCI layout."`
	Compression string   `default:"" enum:",gzip,zstd" help:"Compression of a layout's layers."`
	Name        string   `required:"" help:"NAME:TAG of the image."`
	Cmd         []string `sep:"none" help:"One word of the image's Cmd; repeat for more."`
	Entrypoint  []string `sep:"none" help:"One word of the image's Entrypoint; repeat for more."`
	Env         []string `sep:"none" help:"KEY=VALUE; repeat for more."`
	Workdir     string   `help:"WorkingDir of the image."`
	User        string   `help:"User of the image."`
	Layers      []string `arg:"" type:"existingfile" help:"Layers, bottom first."`
}

func (c *imageCmd) Run() error {
	img := image.Image{
		Name: c.Name, LayerCompression: c.Compression,
		Config: v1.Config{Cmd: c.Cmd, Entrypoint: c.Entrypoint, Env: c.Env, WorkingDir: c.Workdir, User: c.User},
	}
	for _, path := range c.Layers {
		img.Layers = append(img.Layers, image.FromFile(path))
	}
	if c.Layout {
		return img.WriteLayout(c.Output)
	}
	return img.WriteFile(c.Output)
}

func main() {
	ctx := kong.Parse(&cli{}, kong.Name("mkimage"), kong.Description("Packs directories as container images."))
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}
