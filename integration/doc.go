// Package integration holds the end-to-end tests: the built commands, real mounts, real images.
//
// Each runs as root and once more as an ordinary user. The quick tests compose their images in Go and
// need root and `make build`, no network. TestReal* run the images of integration/images, TestKiwi*
// those that KIWI built; where these cannot be had a test is skipped with the reason. Nothing imports
// this package.
package integration
