// OpenSSL 3.0, and static-inline shims for its macros.
#pragma once
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// The name that a certificate is known by: the first DNS name of its alternative names, else its common name.
static inline int pc_certificate_name(X509 *certificate, char *buffer, int size) {
    int length = -1;
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int index = 0; length < 0 && index < sk_GENERAL_NAME_num(names); index++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
        if (name->type != GEN_DNS) continue;
        length = ASN1_STRING_length(name->d.dNSName) < size ? ASN1_STRING_length(name->d.dNSName) : size;
        memcpy(buffer, ASN1_STRING_get0_data(name->d.dNSName), length);
    }
    GENERAL_NAMES_free(names);
    if (length >= 0) return length;
    return X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, buffer, size);
}
// Seconds until a certificate is no longer valid, negative once it is not.
static inline long long pc_certificate_left(X509 *certificate) {
    int days = 0, seconds = 0;
    if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate))) return 0;
    return days * 86400LL + seconds;
}
static const int pc_mbstring_ascii = MBSTRING_ASC;
static const int pc_public_key_selection = EVP_PKEY_PUBLIC_KEY;
static const uint64_t pc_no_renegotiation_no_compression = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION;
static inline long pc_SSL_CTX_set_mode(SSL_CTX *c, long m) { return SSL_CTX_set_mode(c, m); }
static inline uint64_t pc_SSL_CTX_set_options(SSL_CTX *c, uint64_t o) { return SSL_CTX_set_options(c, o); }
static inline int pc_SSL_CTX_set_min_proto_version(SSL_CTX *c, int v) { return (int)SSL_CTX_set_min_proto_version(c, v); }
static inline int pc_SSL_CTX_set_max_proto_version(SSL_CTX *c, int v) { return (int)SSL_CTX_set_max_proto_version(c, v); }
static inline void pc_SSL_CTX_set_read_ahead(SSL_CTX *c, int on) { SSL_CTX_set_read_ahead(c, on); }
static inline long pc_SSL_CTX_set_session_cache_mode(SSL_CTX *c, long m) { return SSL_CTX_set_session_cache_mode(c, m); }
static inline int pc_SSL_CTX_set_groups(SSL_CTX *c, const char *list) { return (int)SSL_CTX_set1_groups_list(c, list); }
static inline int pc_SSL_set_host_name(SSL *s, const char *name) { return (int)SSL_set_tlsext_host_name(s, name); }
static inline void pc_SSL_CTX_set_servername(SSL_CTX *c, int (*callback)(SSL *, int *, void *), void *argument) {
    SSL_CTX_set_tlsext_servername_callback(c, callback);
    SSL_CTX_set_tlsext_servername_arg(c, argument);
}
static inline int pc_SSL_CTX_add_chain_certificate(SSL_CTX *c, X509 *x) { return (int)SSL_CTX_add0_chain_cert(c, x); }
static inline BIGNUM *pc_BN_from_bytes(const unsigned char *bytes, int count) { return BN_bin2bn(bytes, count, NULL); }
static inline EVP_PKEY *pc_new_ec_key(const char *curve) { return EVP_EC_gen(curve); }
static inline EVP_PKEY *pc_new_ed25519_key(void) { return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"); }
static inline int pc_rsa_padding_pss(EVP_PKEY_CTX *c) {
    return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) > 0 && EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) > 0;
}
static inline long pc_BIO_contents(BIO *b, char **data) { return BIO_get_mem_data(b, data); }

// OSSL_PARAM keeps the pointers to the names that it is given. The macros are C strings that live for ever, but Swift would
// lend them for one call only, so parameters are named here.
static inline int pc_mac_set_key(EVP_MAC_CTX *mac, const unsigned char *key, size_t count) {
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key, count),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, parameters);
}
static inline int pc_push_rsa(OSSL_PARAM_BLD *b, const BIGNUM *n, const BIGNUM *e) {
    return OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n) && OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e);
}
static inline int pc_push_point(OSSL_PARAM_BLD *b, int bits, const void *point, size_t count) {
    const char *group = bits == 256 ? "P-256" : bits == 384 ? "P-384" : "P-521";
    return OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, group, 0)
        && OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, count);
}
