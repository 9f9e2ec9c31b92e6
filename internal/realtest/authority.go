//go:build linux

package realtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"time"
)

// authorityFiles are PEM files of an authority and of two that it certified.
type authorityFiles struct {
	ca                    string
	serverCert, serverKey string
	clientCert, clientKey string
}

// writeAuthority makes a certificate authority, and certificates for a server
// on 127.0.0.1 and localhost and for a client. They are valid for a day.
func writeAuthority(p *place) (authorityFiles, error) {
	var f authorityFiles
	ca := template("realtest authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return f, err
	}
	if f.ca, err = writeCertificate(p, "ca.pem", ca, ca, caKey.Public(), caKey); err != nil {
		return f, err
	}
	issue := func(name string, leaf *x509.Certificate) (cert, key string, err error) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return "", "", err
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			return "", "", err
		}
		if key, err = p.write(name+".key", encodePEM("PRIVATE KEY", der)); err != nil {
			return "", "", err
		}
		cert, err = writeCertificate(p, name+".pem", leaf, ca, private.Public(), caKey)
		return cert, key, err
	}
	server := template("localhost")
	server.DNSNames, server.IPAddresses = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if f.serverCert, f.serverKey, err = issue("server", server); err != nil {
		return f, err
	}
	client := template("client")
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	f.clientCert, f.clientKey, err = issue("client", client)
	return f, err
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

func writeCertificate(p *place, file string, cert, by *x509.Certificate, public crypto.PublicKey, signer crypto.Signer) (string, error) {
	der, err := x509.CreateCertificate(rand.Reader, cert, by, public, signer)
	if err != nil {
		return "", err
	}
	return p.write(file, encodePEM("CERTIFICATE", der))
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// tlsConfig returns what a client of the registry needs.
func (r *RegistryServer) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	ca, err := os.ReadFile(r.CAFile)
	if err != nil {
		return nil, err
	}
	if !config.RootCAs.AppendCertsFromPEM(ca) {
		return nil, errors.New("the authority's certificate cannot be parsed")
	}
	if r.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(r.CertFile, r.KeyFile)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
