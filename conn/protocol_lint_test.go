package conn

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Nobody asks which protocol a connection speaks: the names of the protocols, and of the
// two ways of being a member, stand in the table and where they are declared, and nowhere
// else. What differs is a field of protocol.
func TestProtocolsAreAskedNothingByName(t *testing.T) {
	files := parseRoom(t)
	declared := map[string]token.Pos{} // the variables that are protocols
	for _, file := range files {
		for _, decl := range file.Decls {
			d, isGeneral := decl.(*ast.GenDecl)
			if !isGeneral || d.Tok != token.VAR {
				continue
			}
			for _, spec := range d.Specs {
				if v := spec.(*ast.ValueSpec); len(v.Values) == 1 && isProtocol(v.Values[0]) {
					declared[v.Names[0].Name] = v.Names[0].Pos()
				}
			}
		}
	}
	if len(declared) != len(protocols) {
		t.Fatalf("%d variables are protocols, and the table has %d", len(declared), len(protocols))
	}
	inTable := 0
	for name, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			id, isName := n.(*ast.Ident)
			if !isName {
				return true
			}
			if at, isOne := declared[id.Name]; isOne && at != id.Pos() {
				if inTable++; name != "protocol.go" {
					t.Errorf("%s: %s is asked for by name", name, id.Name)
				}
			}
			return true
		})
	}
	if inTable != len(protocols) {
		t.Errorf("the names stand in %d places, and the table has %d", inTable, len(protocols))
	}
}

// parseRoom parses the files of this package but its tests.
func parseRoom(t *testing.T) map[string]*ast.File {
	t.Helper()
	set := token.NewFileSet() // of all of them, so that no two places have one position
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if files[name], err = parser.ParseFile(set, name, nil, parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func isProtocol(value ast.Expr) bool {
	pointer, isPointer := value.(*ast.UnaryExpr)
	if !isPointer {
		return false
	}
	literal, isLiteral := pointer.X.(*ast.CompositeLit)
	if !isLiteral {
		return false
	}
	name, isName := literal.Type.(*ast.Ident)
	return isName && name.Name == "protocol"
}

// A type that does everything is read by nobody: Server is taken apart into parts.
func TestNoTypeHasTooManyMethods(t *testing.T) {
	const methodsMax = 60
	methods := map[string]int{}
	for _, file := range parseRoom(t) {
		for _, decl := range file.Decls {
			f, isFunc := decl.(*ast.FuncDecl)
			if !isFunc || f.Recv == nil {
				continue
			}
			of := f.Recv.List[0].Type
			if pointer, isPointer := of.(*ast.StarExpr); isPointer {
				of = pointer.X
			}
			if name, isName := of.(*ast.Ident); isName {
				methods[name.Name]++
			}
		}
	}
	if methods["Server"] == 0 {
		t.Fatal("Server has no methods")
	}
	for name, count := range methods {
		if count > methodsMax {
			t.Errorf("%s has %d methods", name, count)
		}
	}
}
