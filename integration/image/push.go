package image

import (
	"fmt"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push puts the image into a registry that speaks plain HTTP, under HOST/REPOSITORY:TAG.
func (i Image) Push(ref string) error {
	parsed, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		return fmt.Errorf("parse reference: %w", err)
	}
	img, err := i.Registry()
	if err != nil {
		return err
	}
	if err := remote.Write(parsed, img); err != nil {
		return fmt.Errorf("push %s: %w", ref, err)
	}
	return nil
}
