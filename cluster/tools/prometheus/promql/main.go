// Promql says what expressions ask for: each metric with its matchers, and the labels that are grouped or joined by.
//
// It reads a list of expressions from standard input and writes a list with one answer for each, both as JSON.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

type selector struct {
	Metric string            `json:"metric"`
	Equals map[string]string `json:"equals"`
	Labels []string          `json:"labels"`
}

type answer struct {
	Selectors []selector `json:"selectors"`
	Grouping  []string   `json:"grouping"`
}

func main() {
	var expressions []string
	if err := json.NewDecoder(os.Stdin).Decode(&expressions); err != nil {
		fail(err)
	}
	answers := make([]answer, 0, len(expressions))
	for _, text := range expressions {
		expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
		if err != nil {
			fail(fmt.Errorf("%s: %w", text, err))
		}
		answers = append(answers, askedBy(expression))
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "promql:", err)
	os.Exit(1)
}

func askedBy(expression parser.Expr) answer {
	found := answer{Selectors: []selector{}, Grouping: []string{}}
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		switch part := node.(type) {
		case *parser.VectorSelector:
			found.Selectors = append(found.Selectors, selectorOf(part))
		case *parser.AggregateExpr:
			found.Grouping = append(found.Grouping, part.Grouping...)
		case *parser.BinaryExpr:
			if part.VectorMatching != nil {
				found.Grouping = append(found.Grouping, part.VectorMatching.MatchingLabels...)
			}
		}
		return nil
	})
	return found
}

func selectorOf(part *parser.VectorSelector) selector {
	asked := selector{Metric: part.Name, Equals: map[string]string{}, Labels: []string{}}
	for _, matcher := range part.LabelMatchers {
		if matcher.Name == labels.MetricName {
			continue
		}
		asked.Labels = append(asked.Labels, matcher.Name)
		if matcher.Type == labels.MatchEqual {
			asked.Equals[matcher.Name] = matcher.Value
		}
	}
	return asked
}
