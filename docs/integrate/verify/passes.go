// SPDX-License-Identifier: MIT

// Package tiketi: is this the pass of a buyer whose turn it is? Needs github.com/golang-jwt/jwt (v4; of v5 only the path differs).
package tiketi

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v4"
)

// Passes keeps the keys for ten minutes; a name that is not among them is asked for once in 30 seconds.
type Passes struct {
	URL, Event string // https://tickets.example.com/.well-known/jwks.json, summer-2030
	lock       sync.Mutex
	keys       map[string]*ecdsa.PublicKey
	read       time.Time
}

func (p *Passes) key(token *jwt.Token) (interface{}, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	kid, _ := token.Header["kid"].(string)
	if age := time.Since(p.read); age > 10*time.Minute || (p.keys[kid] == nil && age > 30*time.Second) {
		var set struct{ Keys []struct{ Kid, X, Y string } }
		answer, err := (&http.Client{Timeout: 3 * time.Second}).Get(p.URL)
		if err != nil || json.NewDecoder(answer.Body).Decode(&set) != nil || answer.Body.Close() != nil || len(set.Keys) == 0 {
			return nil, fmt.Errorf("no keys at %s: answer 503, let nobody in", p.URL)
		}
		p.keys, p.read = map[string]*ecdsa.PublicKey{}, time.Now()
		for _, one := range set.Keys {
			x, _ := base64.RawURLEncoding.DecodeString(one.X)
			y, _ := base64.RawURLEncoding.DecodeString(one.Y)
			p.keys[one.Kid] = &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)}
		}
	}
	if p.keys[kid] == nil {
		return nil, jwt.ErrTokenUnverifiable
	}
	return p.keys[kid], nil
}

// Buyer tells whose pass it is and when it ends, or why it is none. An `iat` ahead of this clock is fine: version 4 would refuse it.
func (p *Passes) Buyer(pass string) (*jwt.RegisteredClaims, error) {
	claims := new(jwt.RegisteredClaims)
	_, err := jwt.ParseWithClaims(pass, claims, p.key, jwt.WithValidMethods([]string{"ES256"}), jwt.WithoutClaimsValidation())
	ours := claims.Issuer == "tiketi" && len(claims.Audience) == 1 && claims.Audience[0] == p.Event && claims.Subject != ""
	if err == nil && (!ours || claims.ExpiresAt == nil || !claims.ExpiresAt.After(time.Now())) {
		err = jwt.ErrTokenInvalidClaims
	}
	return claims, err
}
