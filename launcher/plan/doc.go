// Package plan owns the launch plan: everything a start of one flake needs, compiled beforehand into one
// small file, and the reader that the launcher uses on the hot path.
//
// It holds the format and its checks only. What goes into a plan is decided by launcher/plan/compile, which
// the launcher binary does not link. Entry points: Read, Load, Plan.Write, Plan.Fresh.
package plan
