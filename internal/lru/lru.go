// Package lru keeps what was loaded last, so that it is not loaded again.
package lru

import (
	"container/list"
	"sync"
)

// Cache keeps the most recently used values, up to a number of them. It is
// safe for use by several goroutines; a value that several want at once is
// loaded once. The zero Cache is not valid: New makes one.
type Cache[K comparable, V any] struct {
	size int

	mu   sync.Mutex
	byK  map[K]*list.Element // of *entry[K, V]
	used *list.List          // most recently used first
}

type entry[K comparable, V any] struct {
	key   K
	once  sync.Once
	value V
	err   error
}

// New returns a cache of size values.
func New[K comparable, V any](size int) *Cache[K, V] {
	return &Cache[K, V]{size: size, byK: map[K]*list.Element{}, used: list.New()}
}

// Get returns the value of key, calling load if it is not kept. An error goes
// to all who wait for the value, and is not kept.
func (c *Cache[K, V]) Get(key K, load func() (V, error)) (V, error) {
	e := c.entry(key)
	e.once.Do(func() {
		if e.value, e.err = load(); e.err != nil {
			c.forget(e)
		}
	})
	return e.value, e.err
}

func (c *Cache[K, V]) forget(e *entry[K, V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.byK[e.key]; ok && element.Value == e {
		c.used.Remove(element)
		delete(c.byK, e.key)
	}
}

// Put keeps a value.
func (c *Cache[K, V]) Put(key K, value V) {
	e := c.entry(key)
	e.once.Do(func() { e.value = value })
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
	if c.used.Len() > c.size {
		oldest := c.used.Remove(c.used.Back()).(*entry[K, V])
		delete(c.byK, oldest.key)
	}
	return e
}
