// Command bench compares the product with its peers and prints a markdown table for each scenario.
//
//	go run ./integration/bench [-rounds N] [-pulls N] [-only REGEXP] [-json FILE] [-results DIR] [-bin DIR]
//
// The scenarios: start (as root), user and range (as ordinary users), hosts (files of the host in the app's root), compile
// (the launch plan anew), pipe (throughput), kept (instances), phases (of a start, by its own trace), parallel (many starts at once), memory, pull.
//
// Within a scenario the subjects take turns, one run each a round and in another order each round, so that whatever else
// the machine does hits them alike; what takes long takes part in the first rounds only. Medians and 90th percentiles are
// over rounds, ratios are of medians of the same scenario. All share the host's network: none pays for a network
// namespace that others lack. What cannot be compared on this machine is named with the reason. The raw figures go to a
// JSON file; the tables, a picture of the medians and one of the phases go to the directory of results. Timings are facts about one machine on one day and no test depends on
// them.
//
// To add a scenario, append to the table in scenarios.go.
package main
