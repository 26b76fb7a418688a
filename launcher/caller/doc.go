// Package caller owns what an app sees of whoever starts it: the profiles, and how the directory he is in and the paths
// that depend on his environment become mounts when the app is started.
//
// The launcher links it, so it stays light, and it mounts nothing: it returns lists. What does not depend on the moment
// is planned by launcher/plan/compile with the same tables.
//
// Entry points: ProfileOf, At.
package caller
