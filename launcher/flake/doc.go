// Package flake owns the description of a flake: the YAML schema (flake-pilot's, with our additions), the
// deep merge of drop-ins, and how a name finds its file.
//
// The settings of all flakes are read here, too.
//
// It reads files and nothing else: no images, no kernel. Entry points: Find, List, Parse, ParseSettings.
package flake
