// The workload file of ./dev bench policy, and what every Go peer measures on it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"time"
)

type rule struct {
	Effect     string         `json:"effect"`
	Subjects   []string       `json:"subjects"`
	Resources  []string       `json:"resources"`
	Actions    []string       `json:"actions"`
	Conditions map[string]any `json:"conditions"`
}

type workload struct {
	Policies []struct {
		Rules []rule `json:"rules"`
	} `json:"policies"`
	Questions []question `json:"questions"`
}

type question struct {
	Subject    string                    `json:"subject"`
	Action     string                    `json:"action"`
	Resource   string                    `json:"resource"`
	Attributes map[string]map[string]any `json:"attributes"`
}

func read(path string) workload {
	var all workload
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return all
}

// Asks every question at least once (for a minute at most), then until the time is up.
func measure(count int, seconds float64, compile time.Duration, decide func(i int) bool) {
	var times []int64
	allowed, complete := 0, false
	started := time.Now()
run:
	for round := 0; ; round++ {
		for i := 0; i < count; i++ {
			begin := time.Now()
			yes := decide(i)
			times = append(times, time.Since(begin).Nanoseconds())
			if round == 0 && yes {
				allowed++
			}
			spent := time.Since(started).Seconds()
			if spent > seconds && (complete || spent > 60) {
				break run
			}
		}
		complete = true
	}
	throughput := float64(len(times)) / time.Since(started).Seconds()
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	at := func(part float64) int64 { return times[int(float64(len(times)-1)*part)] }
	fmt.Printf("{\"p50\":%d,\"p99\":%d,\"throughput\":%.1f,\"compileMs\":%.3f,\"allowed\":%d,\"complete\":%v}\n",
		at(0.5), at(0.99), throughput, float64(compile.Microseconds())/1e3, allowed, complete)
}
