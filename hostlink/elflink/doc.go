// Package elflink links host files into an app's root the way a linker would: it finds out what the programs and
// libraries among them need at run time, which of that the images have, and what has to come from the host as well.
//
// It owns what the dynamic loaders of glibc and musl do before a program's first instruction: the search for libraries,
// symbol versions, interpreters; and the interpreters of scripts. [Link] completes a [hostlink.Plan], [Check] looks at a
// whole root.
//
// It runs no program, and sees what a file says that it needs: what a program opens by dlopen it can't know, nor symbols
// that a library without versions lacks. See ../decisions/0005-link-like-a-linker.md.
//
// Files of images are hostile: parsing is bounded in time and memory, and paths are resolved below the root they belong to.
package elflink
