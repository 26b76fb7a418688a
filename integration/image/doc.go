// Package image composes container images for tests, the demo and the benchmarks: layers from a
// small spec language or from a directory, put together as a docker-archive, an OCI layout or an
// image in a registry.
//
// It writes what it is told to write, hostile entries included, and knows nothing about how the
// product reads any of it. Nothing here is part of the product.
//
// Start with [Parse] or [Tree] for a layer and [Image] for the rest.
package image
