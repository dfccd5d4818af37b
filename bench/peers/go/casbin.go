package main

import (
	"fmt"
	"time"

	"github.com/casbin/casbin/v2"
	"github.com/casbin/casbin/v2/model"
)

// One column for each attribute of the workload; an empty one does not matter to the policy.
var columns = []string{"context.blocked", "context.hold", "context.device", "context.department",
	"user.country", "consent.granted", "consent.purpose"}

const casbinModel = `
[request_definition]
r = sub, obj, act, blocked, hold, device, department, country, granted, purpose
[policy_definition]
p = sub, obj, act, blocked, hold, device, department, country, granted, purpose, eft
[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))
[matchers]
m = (p.act == "*" || r.act == p.act) && keyMatch(r.sub, p.sub) && (p.obj == "*" || r.obj == p.obj || globMatch(r.obj, p.obj)) && (p.blocked == "" || r.blocked == p.blocked) && (p.hold == "" || r.hold == p.hold) && (p.device == "" || r.device == p.device) && (p.department == "" || r.department == p.department) && (p.country == "" || r.country == p.country) && (p.granted == "" || r.granted == p.granted) && (p.purpose == "" || r.purpose == p.purpose)
`

func runCasbin(all workload, seconds float64) error {
	begin := time.Now()
	parsed, err := model.NewModelFromString(casbinModel)
	if err != nil {
		return err
	}
	enforcer, err := casbin.NewEnforcer(parsed)
	if err != nil {
		return err
	}
	rows := make([][]string, 0, len(all.Policies))
	for _, policy := range all.Policies {
		one := policy.Rules[0]
		row := []string{one.Subjects[0], one.Resources[0], one.Actions[0]}
		for _, column := range columns {
			value := ""
			if found, ok := one.Conditions[column]; ok {
				value = fmt.Sprint(found)
			}
			row = append(row, value)
		}
		rows = append(rows, append(row, one.Effect))
	}
	if _, err = enforcer.AddPolicies(rows); err != nil {
		return err
	}
	compiled := time.Since(begin)
	requests := make([][]any, 0, len(all.Questions))
	for _, one := range all.Questions {
		request := []any{one.Subject, one.Resource, one.Action}
		for _, column := range columns {
			request = append(request, fmt.Sprint(attribute(one, column)))
		}
		requests = append(requests, request)
	}
	var failure error
	measure(len(requests), seconds, compiled, func(i int) bool {
		yes, err := enforcer.Enforce(requests[i]...)
		if err != nil {
			failure = err
		}
		return yes
	})
	return failure
}

func attribute(from question, path string) any {
	for i := range path {
		if path[i] == '.' {
			return from.Attributes[path[:i]][path[i+1:]]
		}
	}
	return nil
}
