// Judge says how healthy Argo CD, Flux and kstatus find objects, with the engines that those tools are made of.
//
// It reads one JSON document from standard input: the objects, the Lua script of each kind, and the expressions of each
// kind. It writes a list with one verdict for each object.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type question struct {
	Objects []json.RawMessage                           `json:"objects"`
	Lua     map[string]string                           `json:"lua"`
	Flux    map[string]kustomize.HealthCheckExpressions `json:"flux"`
}

type verdict struct {
	ArgoCD  map[string]string `json:"argocd"`
	Flux    string            `json:"flux"`
	Kstatus string            `json:"kstatus"`
}

func main() {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		fail("standard input", err)
	}
	verdicts := make([]verdict, 0, len(asked.Objects))
	for number, text := range asked.Objects {
		found, err := judge(text, asked)
		if err != nil {
			fail(fmt.Sprintf("object %d", number), err)
		}
		verdicts = append(verdicts, found)
	}
	if err := json.NewEncoder(os.Stdout).Encode(verdicts); err != nil {
		fail("standard output", err)
	}
}

func fail(where string, err error) {
	fmt.Fprintf(os.Stderr, "judge: %s: %v\n", where, err)
	os.Exit(1)
}

func judge(text []byte, asked question) (verdict, error) {
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(text); err != nil {
		return verdict{}, err
	}
	argocd, err := runLua(object, asked.Lua[object.GetKind()])
	if err != nil {
		return verdict{}, fmt.Errorf("health.lua: %w", err)
	}
	expressions := asked.Flux[object.GetKind()]
	evaluator, err := cel.NewStatusEvaluator(&expressions)
	if err != nil {
		return verdict{}, fmt.Errorf("healthCheckExprs: %w", err)
	}
	flux, err := evaluator.Evaluate(context.Background(), object)
	if err != nil {
		return verdict{}, fmt.Errorf("healthCheckExprs: %w", err)
	}
	kstatus, err := status.Compute(object)
	if err != nil {
		return verdict{}, fmt.Errorf("kstatus: %w", err)
	}
	return verdict{argocd, string(flux.Status), string(kstatus.Status)}, nil
}

// runLua gives a script what Argo CD gives to one from its ConfigMap: the object, a second of time, and of the
// libraries only the basic one and that of tables.
func runLua(object *unstructured.Unstructured, script string) (map[string]string, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		state.Push(state.NewFunction(open))
		state.Push(lua.LString(name))
		state.Call(1, 0)
	}
	limited, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	state.SetContext(limited)
	state.SetGlobal("obj", toLua(state, object.Object))
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("the script returns no table but %s", state.Get(-1).Type())
	}
	health := map[string]string{}
	table.ForEach(func(key, value lua.LValue) { health[key.String()] = value.String() })
	return health, nil
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch known := value.(type) {
	case bool:
		return lua.LBool(known)
	case string:
		return lua.LString(known)
	case int64:
		return lua.LNumber(known)
	case float64:
		return lua.LNumber(known)
	case []any:
		list := state.NewTable()
		for _, item := range known {
			list.Append(toLua(state, item))
		}
		return list
	case map[string]any:
		table := state.NewTable()
		for key, item := range known {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}
