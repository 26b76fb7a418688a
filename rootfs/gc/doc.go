// Package gc decides what a store no longer needs, and removes it.
//
// An image is needed while a reference points at it or a registered flake pins
// it; a layer while a needed image has it, or while a start is using it. The
// rest is garbage: images, layers, references and sources that lead nowhere,
// and what crashed writers left in tmp/.
//
// The entry points are [Plan], which changes nothing (a dry run is a Plan
// without an Apply), [Report.Apply], and [RemoveImage]. The package does not
// know where registrations are kept: callers tell it by [Roots]. Plans and
// host layers are derived data and their owner's business.
package gc
