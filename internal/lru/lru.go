// Package lru keeps what was loaded last, so that it is not loaded again.
package lru

import (
	"container/list"
	"sync"
)

// Cache keeps the most recently used values, up to a sum of their weights. It is
// safe for use by several goroutines; a value that several want at once is
// loaded once. The zero Cache is not valid: New makes one.
type Cache[K comparable, V any] struct {
	limit int
	weigh func(V) int

	mu     sync.Mutex
	weight int                 // of all that are kept
	byK    map[K]*list.Element // of *entry[K, V]
	used   *list.List          // most recently used first
}

type entry[K comparable, V any] struct {
	key   K
	once  sync.Once
	value V
	err   error

	weight int  // zero until loaded
	gone   bool // it is not kept any more
}

// New returns a cache of size values.
func New[K comparable, V any](size int) *Cache[K, V] {
	return NewWeighted[K](size, func(V) int { return 1 })
}

// NewWeighted returns a cache of values that weigh limit at most, together.
// The value used last is kept whatever it weighs. A value must always weigh
// the same.
func NewWeighted[K comparable, V any](limit int, weigh func(V) int) *Cache[K, V] {
	return &Cache[K, V]{limit: limit, weigh: weigh, byK: map[K]*list.Element{}, used: list.New()}
}

// Get returns the value of key, calling load if it is not kept. An error goes
// to all who wait for the value, and is not kept.
func (c *Cache[K, V]) Get(key K, load func() (V, error)) (V, error) {
	e := c.entry(key)
	e.once.Do(func() {
		if e.value, e.err = load(); e.err != nil {
			c.forget(e)
			return
		}
		c.keep(e)
	})
	return e.value, e.err
}

// keep weighs a value that was loaded, and drops what was used longest ago as
// far as it is too much.
func (c *Cache[K, V]) keep(e *entry[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.gone {
		return
	}
	e.weight = c.weigh(e.value)
	c.weight += e.weight
	for c.weight > c.limit && c.used.Len() > 1 {
		c.drop(c.used.Back())
	}
}

func (c *Cache[K, V]) drop(element *list.Element) {
	e := c.used.Remove(element).(*entry[K, V])
	delete(c.byK, e.key)
	c.weight -= e.weight
	e.gone = true
}

func (c *Cache[K, V]) forget(e *entry[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.byK[e.key]; ok && element.Value == e {
		c.drop(element)
	}
}

// Put keeps a value.
func (c *Cache[K, V]) Put(key K, value V) {
	e := c.entry(key)
	e.once.Do(func() {
		e.value = value
		c.keep(e)
	})
}

// Drop drops the values of some keys. None of those may be loading.
func (c *Cache[K, V]) Drop(which func(key K) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, element := range c.byK {
		if which(key) {
			c.drop(element)
		}
	}
}

func (c *Cache[K, V]) entry(key K) *entry[K, V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.byK[key]; ok {
		c.used.MoveToFront(element)
		return element.Value.(*entry[K, V])
	}
	e := &entry[K, V]{key: key}
	c.byK[key] = c.used.PushFront(e)
	return e
}
