// Command mkimage packs directories as container images for the recipes of the real-image suite and
// for the demo. It is a thin front of package integration/image and no part of the product.
package main
