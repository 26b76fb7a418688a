package main

// waiting is the phase of a process that has nothing to do but to wait for what runs inside.
const waiting = "waiting"

// laidOut has the phases in the places that they have in a start in which each of them takes its median. Medians of their
// beginnings would leave gaps that no start has.
func laidOut(all []phase) []phase {
	out := append([]phase(nil), all...)
	byLane := map[string][]int{}
	for i, p := range out {
		byLane[p.Lane] = append(byLane[p.Lane], i)
	}
	for l, name := range lanes {
		lane := byLane[name]
		if len(lane) > 0 && l > 0 {
			out[lane[0]].Begin += shift(all, out, byLane[lanes[l-1]], all[lane[0]].Begin)
		}
		for n := 1; n < len(lane); n++ {
			before := out[lane[n-1]]
			out[lane[n]].Begin = before.Begin + before.Took
		}
	}
	for l := len(lanes) - 2; l >= 0; l-- {
		if inner := byLane[lanes[l+1]]; len(inner) > 0 {
			last := out[inner[len(inner)-1]]
			stretch(out, byLane[lanes[l]], last.Begin+last.Took)
		}
	}
	return out
}

// shift is how far that phase of the lane around has been moved during which a process began.
func shift(all, out []phase, around []int, began float64) (by float64) {
	for _, i := range around {
		if all[i].Begin <= began && all[i].Name != waiting {
			by = out[i].Begin - all[i].Begin
		}
	}
	return by
}

// stretch has the process of a lane wait as long as what runs inside takes: its last phase begins as that ends.
func stretch(out []phase, lane []int, end float64) {
	for n := len(lane) - 1; n > 0; n-- {
		out[lane[n]].Begin = end
		if before := &out[lane[n-1]]; before.Name == waiting {
			before.Took = max(0, end-before.Begin)
			return
		} else {
			end -= before.Took
		}
	}
}
