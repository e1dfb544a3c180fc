// client does what client.c does with the official Go driver:
//
//	client write FOLDER URI BATCH
//	client read FOLDER URI STATEMENT
//
// The driver is used as its documentation says: managed transactions, rows by UNWIND, the database
// named. CPU is that of this process from the first request to the last reply; the memories are in
// memory before.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/neo4j/neo4j-go-driver/v5/neo4j"
)

const dimensions = 384

type memory struct {
	Seq       int64  `json:"seq"`
	AtUs      int64  `json:"at_us"`
	Id        string `json:"id"`
	Origin    string `json:"origin"`
	ProjectId string `json:"project_id"`
	SessionId string `json:"session_id"`
	Content   string `json:"content"`
	Prev      string `json:"prev"`
	Hash      string `json:"hash"`
	Record    string `json:"record"`
	at        time.Time
	vector    []float64
}

type statements map[string]any

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func cpu() float64 {
	var usage syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func loadStatements(folder string) statements {
	text, err := os.ReadFile(filepath.Join(folder, "statements.json"))
	must(err)
	var all statements
	must(json.Unmarshal(text, &all))
	return all
}

func loadMemories(folder string) []memory {
	file, err := os.Open(filepath.Join(folder, "rows.jsonl"))
	must(err)
	defer file.Close()
	vectors, err := os.ReadFile(filepath.Join(folder, "vectors.f32"))
	must(err)
	var memories []memory
	decoder := json.NewDecoder(bufio.NewReader(file))
	for decoder.More() {
		var one memory
		must(decoder.Decode(&one))
		one.at = time.UnixMicro(one.AtUs).UTC()
		one.vector = make([]float64, dimensions)
		for i := range one.vector {
			at := 4 * (len(memories)*dimensions + i)
			one.vector[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(vectors[at:])))
		}
		memories = append(memories, one)
	}
	return memories
}

func added(m *memory) map[string]any {
	return map[string]any{
		"seq": m.Seq, "op": "put", "id": m.Id, "version": 1, "at": m.at, "source": "bench",
		"project_id": m.ProjectId, "session_id": m.SessionId, "prev": m.Prev, "hash": m.Hash,
		"record": m.Record,
	}
}

func shown(m *memory) map[string]any {
	return map[string]any{
		"id": m.Id, "origin": m.Origin, "seq": m.Seq, "sync_version": 1,
		"fields": map[string]any{
			"content": m.Content, "memory_type": "learning", "importance": 0.5,
			"source_project": m.ProjectId, "session_id": m.SessionId,
			"tags": []string{"bench", "speed"}, "scope": "project", "metadata": "{}",
			"task_id": nil, "created_at": m.at, "updated_at": m.at, "deleted_at": nil,
		},
	}
}

func inSession(m *memory) map[string]any {
	return map[string]any{
		"id": m.Id, "origin": m.Origin, "seq": m.Seq,
		"session_id": m.SessionId, "project_id": m.ProjectId,
	}
}

func embedding(m *memory) map[string]any {
	return map[string]any{
		"id": m.Id, "origin": m.Origin, "version": 1, "at": m.at, "model": "bench",
		"digest": "bench", "vector": m.vector,
	}
}

func place(m *memory) map[string]any {
	return map[string]any{"id": m.Id, "origin": m.Origin, "seq": m.Seq}
}

var rowsOf = map[string]func(*memory) map[string]any{
	"ADD_OF_MEMORY": added, "SHOW_MEMORY": shown, "SHOW_IN_SESSION": inSession,
	"SHOW_EMBEDDING": embedding, "COUNT_SESSIONS": place,
}

func write(ctx context.Context, session neo4j.SessionWithContext, all statements, memories []memory, batch int) {
	for start := 0; start < len(memories); start += batch {
		part := memories[start:min(start+batch, len(memories))]
		_, err := session.ExecuteWrite(ctx, func(tx neo4j.ManagedTransaction) (any, error) {
			for _, name := range all["TRANSACTION"].([]any) {
				rows := []any{}
				if row := rowsOf[name.(string)]; row != nil {
					rows = make([]any, len(part))
					for i := range part {
						rows[i] = row(&part[i])
					}
				}
				params := map[string]any{"origin": part[0].Origin, "copy": 1, "kind": "memory", "rows": rows}
				if _, err := tx.Run(ctx, all[name.(string)].(string), params); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
		must(err)
	}
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func used(value any) float64 {
	switch v := value.(type) {
	case string:
		return float64(len(v))
	case float64:
		return v
	case time.Time:
		return float64(v.Unix() % 1000)
	case []any:
		if first, ok := v[0].(float64); ok {
			return first + v[len(v)-1].(float64)
		}
		sum := 0
		for _, tag := range v {
			sum += len(tag.(string))
		}
		return float64(sum)
	}
	log.Fatalf("a value of type %T", value)
	return 0
}

func read(ctx context.Context, session neo4j.SessionWithContext, statement string) (int, float64) {
	count, sum := 0, 0.0
	result, err := session.Run(ctx, statement, nil)
	must(err)
	for result.Next(ctx) {
		for _, value := range result.Record().Values {
			sum += used(value)
		}
		count++
	}
	must(result.Err())
	return count, sum
}

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: client write|read FOLDER URI BATCH|STATEMENT")
	}
	what, folder, uri, arg := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	ctx := context.Background()
	all := loadStatements(folder)
	var memories []memory
	if what == "write" {
		memories = loadMemories(folder)
	}
	driver, err := neo4j.NewDriverWithContext(uri, neo4j.BasicAuth("neo4j", os.Getenv("NEO4J_PASSWORD"), ""))
	must(err)
	defer driver.Close(ctx)
	must(driver.VerifyConnectivity(ctx))
	mode := neo4j.AccessModeWrite
	if what == "read" {
		mode = neo4j.AccessModeRead
	}
	session := driver.NewSession(ctx, neo4j.SessionConfig{DatabaseName: "neo4j", AccessMode: mode})
	defer session.Close(ctx)

	runtime.GC() // what loading left is not the work's
	began, before := time.Now(), cpu()
	count, sum := len(memories), 0.0
	if what == "write" {
		batch, err := strconv.Atoi(arg)
		must(err)
		write(ctx, session, all, memories, batch)
	} else {
		count, sum = read(ctx, session, all[arg].(string))
	}
	fmt.Printf("{\"count\":%d,\"elapsed_s\":%f,\"cpu_s\":%f,\"sum\":%.3f}\n", count, time.Since(began).Seconds(), cpu()-before, sum)
}
