
/*
 * Who may do what: the admin user, repository-scoped tokens, scope maps and
 * role assignments of a registry, and every decision about them.  Plain C over
 * OpenSSL and jansson; no nginx, no I/O.
 *
 * All of it is one JSON text, <acr_root>/acr/access.json:
 *
 *   { "version": 1,
 *     "admin": { "enabled": true,
 *                "passwords": [ {"name":"password","created":1790000000,
 *                                "expiry":null,"id":"…","hash":"…"},
 *                               {"name":"password2",…} ] },
 *     "scopeMaps": [ {"name":"ci","description":"","created":1790000000,
 *                     "actions":["repositories/app/content/read"]} ],
 *     "tokens": [ {"name":"builder","enabled":true,"scopeMap":"ci",
 *                  "created":1790000000,
 *                  "passwords":[{"name":"password1",…}]} ],
 *     "roleAssignments": [ {"id":"…","principal":"user:alice",
 *                           "role":"AcrPull","scope":"*",
 *                           "created":1790000000} ] }
 *
 * Passwords are generated here, 52 characters of base32 from 32 random bytes;
 * only a salted hash is kept: "pbkdf2-sha256$<iterations>$<salt>$<key>" in
 * base64.  So much entropy needs no slow hash: 1000 iterations, and a file may
 * have up to 100000.  "id" is 8 random bytes in hex; it names this password for
 * ever and is no secret.
 *
 * "version" must be there; admin, lists, passwords and a description may be
 * left out.  Members that are not known are refused: a newer file has a newer
 * version.  Limits: 32 MiB, 10000 tokens, 10000 role assignments, 1000 scope
 * maps of 500 actions each, 256 bytes of a description.
 *
 * A principal of a role assignment is "user:<name>", "group:<name>" or
 * "anonymous".  Names of users and groups come from elsewhere: up to 128 bytes
 * of UTF-8, no control characters, no space at an end.  A scope is "*" (the
 * registry) or a pattern of repositories.
 */

#ifndef ACR_ACCESS_H
#define ACR_ACCESS_H

#include <jansson.h>

#include "acr_change.h"
#include "acr_scope.h"

#define ACR_ACCESS_NAME_MAX      128    /* of a user, token or scope map */
#define ACR_ACCESS_PASSWORD_LEN  52
#define ACR_ACCESS_ID_LEN        16
#define ACR_ACCESS_GROUPS_MAX    64
#define ACR_ACCESS_ADMIN         "admin"   /* the admin user's name */

/* names of users, tokens and scope maps that are made here:
   [a-zA-Z0-9][a-zA-Z0-9._-]{0,63}; system scope maps begin with "_" */

typedef struct acr_access_s  acr_access_t;     /* is never changed */

typedef enum {
    ACR_PRINCIPAL_ANONYMOUS = 0,
    ACR_PRINCIPAL_ADMIN,       /* all rights, while it is enabled */
    ACR_PRINCIPAL_TOKEN,       /* those of its scope map, while it is enabled */
    ACR_PRINCIPAL_USER         /* those of its role assignments and groups' */
} acr_principal_e;

typedef struct {
    acr_principal_e   kind;
    acr_text_t        name;
    const char       *password;      /* the id of the password that was given,
                                        or NULL: then it is not checked */
    acr_text_t        groups[ACR_ACCESS_GROUPS_MAX];   /* of a user */
    unsigned          ngroups;
} acr_principal_t;


/*
 * Parses the text.  NULL, and *error (static) says why: it is no such JSON, has
 * another version, a name twice, a token of no scope map, an unknown role, a
 * scope that is none...  An empty text (n is 0) is what a new registry has:
 * the admin user disabled, nothing else.
 */
acr_access_t *acr_access_load(const unsigned char *p, size_t n,
    const char **error);

/* the error if memory was short, told from others by its address */
extern const char  acr_access_nomem[];

void acr_access_free(acr_access_t *access);

/*
 * What the principal may do with the repository: bits of ACR_MAY_ALL.  0 if it
 * is unknown, disabled, or its password is gone or expired at now (seconds).
 */
unsigned acr_access_repository(const acr_access_t *access,
    const acr_principal_t *principal, const acr_text_t *repository,
    int64_t now);

/*
 * What it may do with the registry: bits of ACR_MAY_REGISTRY.
 *
 * Tokens may not list the catalog.  A role on a pattern is enough for it: the
 * list has only what the principal may read.  Events are of all repositories,
 * so a role has to be on "*".
 */
unsigned acr_access_registry(const acr_access_t *access,
    const acr_principal_t *principal, int64_t now);

/* 1 if it exists, is enabled, and its password is still one; a user and the
   anonymous always are */
int acr_access_alive(const acr_access_t *access,
    const acr_principal_t *principal, int64_t now);

/* 1 if the anonymous may pull something; those who log in do not have its
   rights */
int acr_access_anonymous(const acr_access_t *access);

/*
 * Is this the password of the admin user or of a token?  Takes two hashes of
 * about half a millisecond each, and as long for a name that is unknown or has
 * no password: for a thread.  What is not of ACR_ACCESS_PASSWORD_LEN bytes is
 * refused at once.  On ACR_OK principal is filled in; its texts point into
 * access.  ACR_INVALID: no; ACR_NOMEM.
 */
int acr_access_password(const acr_access_t *access, const acr_text_t *name,
    const acr_text_t *password, int64_t now, acr_principal_t *principal);

/* 1 if it is a principal of a role assignment, of valid UTF-8 */
int acr_access_principal_valid(const acr_text_t *principal);

/* the rights of a role by its name, in upper or lower case (ACR_MAY_*, with
   those of ACR_MAY_REGISTRY that it has), or 0 if there is none of this name;
   AcrImageSigner and the roles of quarantine exist, but have 0 */
unsigned acr_access_role(const acr_text_t *name);

/*
 * Whose rights they are, for people: a JSON object with "principal" and an
 * array "grants" of {"by":"role AcrPull","scope":"*","actions":["pull",…]};
 * if repository is not NULL only what concerns it.  "principal" is "admin",
 * "token:<name>", "user:<name>" or "anonymous"; "by" is "admin user", "scope
 * map <name>", "role <role>" or "role <role> of group <name>"; the catalog is
 * the action "catalog", events are "events".  Without grants: it is unknown,
 * disabled, or expired.
 * A new reference, or NULL: no memory, or the name is no UTF-8.
 */
json_t *acr_access_explain(const acr_access_t *access,
    const acr_principal_t *principal, const acr_text_t *repository,
    int64_t now);

/* all principals that have any right on the repository: a JSON array of what
   acr_access_explain() gives, also for "group:<name>"; takes longer than a
   decision where there are many tokens */
json_t *acr_access_who(const acr_access_t *access,
    const acr_text_t *repository, int64_t now);


/*
 * Changes.  Each takes the JSON text as it is and returns the new one, from
 * malloc() with its length in *len; NULL: refused, and *error (static) says
 * why, *code how.  An answer for the client is in *answer (a new reference), if
 * there is one to give, else NULL; it is the only place that ever has a
 * password.  A text that cannot be loaded as it is: FAILED.  The text is read
 * twice, so this is for a thread.
 */

/*
 * kind: "admin", "tokens", "scope-maps", "role-assignments"; name: which one
 * (empty for admin).  method is 'P' (PUT: make, or replace what can be
 * changed), 'D' (DELETE) or 'G' (POST …/passwords/<password>: generate that
 * password anew, in sub).  body: the client's JSON, an object, or NULL.
 *
 * A PUT of what exists keeps what the body does not have.  Members that a
 * client cannot set are refused.
 *
 *   PUT admin {"enabled":true}: if it has no passwords both are made, and the
 *       answer has {"username":"admin","passwords":[{"name","value"},…]}
 *   G admin "password" | "password2": {"name","value"}
 *   PUT scope-maps/<name> {"description":"","actions":[…]}
 *   DELETE scope-maps/<name>: CONFLICT while a token has it; system maps never,
 *       nor PUT: CONFLICT
 *   PUT tokens/<name> {"scopeMap":"ci","enabled":true}: a new one gets no
 *       password yet (ACR's "az acr token create" makes both by G)
 *   G tokens/<name> "password1" | "password2", body {"expiry":seconds|null}:
 *       {"username","name","value","created","expiry"}; expiry is a time
 *       after now.  A name that no password has: UNKNOWN
 *   DELETE tokens/<name>; DELETE of a password is G's way only
 *   PUT role-assignments/<id> {"principal","role","scope"}: id is the client's
 *       choice, of the same form as names; DELETE role-assignments/<id>
 *
 * A token must not be called "admin", in upper or lower case, or like the null
 * GUID.
 */
unsigned char *acr_access_change(const unsigned char *p, size_t n,
    const char *kind, const acr_text_t *name, int method,
    const acr_text_t *sub, const json_t *body, int64_t now, size_t *len,
    json_t **answer, acr_change_e *code, const char **error);

/*
 * What an operator sees: an array or object without hashes ("passwords" has
 * name, created, expiry).  kind and name as above; an empty name: the list,
 * which for scope maps has the system ones too, with "type":"SystemDefined"
 * (else "UserDefined").  A new reference; NULL: unknown, or no memory.
 */
json_t *acr_access_show(const acr_access_t *access, const char *kind,
    const acr_text_t *name);

#endif /* ACR_ACCESS_H */
