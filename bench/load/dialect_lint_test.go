package load

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Nobody asks which dialect a connection speaks: names of dialects, and those of
// carriers, stand in the table and where they are declared, and nowhere else. What
// differs is a field of Dialect.
func TestDialectsAreAskedNothingByName(t *testing.T) {
	files := map[string]*ast.File{}
	set := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	declared := map[string]token.Pos{} // the variables that are dialects or carriers
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if files[name], err = parser.ParseFile(set, name, nil, parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
		for _, decl := range files[name].Decls {
			if d, isGeneral := decl.(*ast.GenDecl); isGeneral && d.Tok == token.VAR {
				for _, spec := range d.Specs {
					if v := spec.(*ast.ValueSpec); len(v.Values) == 1 && isDialect(v.Values[0]) {
						declared[v.Names[0].Name] = v.Names[0].Pos()
					}
				}
			}
		}
	}
	if len(declared) != 3 {
		t.Fatalf("%v are dialects and carriers, and there are Bare and two carriers", declared)
	}
	inTable := 0
	for name, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if at, isOne := declared[n.Name]; !isOne || at == n.Pos() {
					return true
				}
			case *ast.SelectorExpr:
				of, isSelector := n.X.(*ast.SelectorExpr)
				if !isSelector || n.Sel.Name != "Name" || !strings.EqualFold(of.Sel.Name, "dialect") {
					return true
				}
			case *ast.BasicLit:
				if text, err := strconv.Unquote(n.Value); err != nil || !slices.Contains(DialectNames(), text) {
					return true
				}
			default:
				return true
			}
			if inTable++; name != "dialect.go" {
				t.Errorf("%s: a dialect is asked for by name", set.Position(n.Pos()))
			}
			return true
		})
	}
	// A name and a carrier of each, and c10m.v1 is offered, too.
	if want := 2*len(dialects) + 1; inTable != want {
		t.Errorf("names stand in %d places, and the table has %d", inTable, want)
	}
}

func isDialect(value ast.Expr) bool {
	if pointer, isPointer := value.(*ast.UnaryExpr); isPointer {
		value = pointer.X
	}
	literal, isLiteral := value.(*ast.CompositeLit)
	if !isLiteral {
		return false
	}
	name, isName := literal.Type.(*ast.Ident)
	return isName && (name.Name == "Dialect" || name.Name == "carrier")
}
