package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
)

func text(value any) string {
	quoted, _ := json.Marshal(value)
	return string(quoted)
}

// A rule of Rego for each policy, with equalities first, so that OPA's rule index can do its work.
func regoOf(all workload) string {
	var out strings.Builder
	out.WriteString("package bench\nimport rego.v1\ndefault allow := false\nallow if { permit\n not forbid }\n")
	for _, policy := range all.Policies {
		one := policy.Rules[0]
		head := "permit"
		if one.Effect == "deny" {
			head = "forbid"
		}
		var terms []string
		subject, resource := one.Subjects[0], one.Resources[0]
		if kind, ok := strings.CutSuffix(subject, ":*"); ok {
			terms = append(terms, "input.kind == "+text(kind))
		} else if subject != "*" {
			terms = append(terms, "input.subject == "+text(subject))
		}
		if one.Actions[0] != "*" {
			terms = append(terms, "input.action == "+text(one.Actions[0]))
		}
		for path, value := range one.Conditions {
			terms = append(terms, "input.attributes."+path+" == "+text(value))
		}
		if strings.Contains(resource, "*") && resource != "*" {
			terms = append(terms, fmt.Sprintf("glob.match(%s, [\"/\"], input.resource)", text(resource)))
		} else if resource != "*" {
			terms = append(terms, "input.resource == "+text(resource))
		}
		fmt.Fprintf(&out, "%s if { %s }\n", head, strings.Join(terms, "; "))
	}
	return out.String()
}

func runOpa(all workload, seconds float64) error {
	ctx := context.Background()
	begin := time.Now()
	query, err := rego.New(rego.Query("data.bench.allow"), rego.Module("bench.rego", regoOf(all))).PrepareForEval(ctx)
	if err != nil {
		return err
	}
	compiled := time.Since(begin)
	inputs := make([]ast.Value, 0, len(all.Questions))
	for _, one := range all.Questions {
		kind, _, _ := strings.Cut(one.Subject, ":")
		value, err := ast.InterfaceToValue(map[string]any{"subject": one.Subject, "kind": kind, "action": one.Action,
			"resource": one.Resource, "attributes": one.Attributes})
		if err != nil {
			return err
		}
		inputs = append(inputs, value)
	}
	var failure error
	measure(len(inputs), seconds, compiled, func(i int) bool {
		results, err := query.Eval(ctx, rego.EvalParsedInput(inputs[i]))
		if err != nil {
			failure = err
			return false
		}
		return results.Allowed()
	})
	return failure
}
