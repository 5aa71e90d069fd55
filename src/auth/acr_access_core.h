
/*
 * What the files of acr_access share.  An acr_access_t keeps the JSON that it
 * was loaded from: its texts point into that, and what is shown comes from it.
 * Besides, everything that a decision needs is in arrays sorted by name.
 *
 * The JSON of an acr_access_t is read by several threads, so nobody takes a
 * reference to a part of it; what is shown is a copy.
 */

#ifndef ACR_ACCESS_CORE_H
#define ACR_ACCESS_CORE_H

#include "acr_access.h"
#include "acr_json.h"

#define ACR_ACCESS_TEXT_MAX         (32 * 1024 * 1024)
#define ACR_ACCESS_VALUES_MAX       2000000
#define ACR_ACCESS_MAPS_MAX         1000
#define ACR_ACCESS_ACTIONS_MAX      500     /* of a scope map */
#define ACR_ACCESS_TOKENS_MAX       10000
#define ACR_ACCESS_ASSIGNMENTS_MAX  10000
#define ACR_ACCESS_DESCRIPTION_MAX  256

/* seconds: beyond it a JSON number need not be exact elsewhere */
#define ACR_ACCESS_TIME_MAX         ((int64_t) 1 << 53)
#define ACR_ACCESS_NEVER            INT64_MAX

#define ACR_ACCESS_PASSWORDS        2       /* that one can have */
#define ACR_ACCESS_ITERATIONS       1000
#define ACR_ACCESS_SALT_LEN         16
#define ACR_ACCESS_KEY_LEN          32

/* "pbkdf2-sha256$", iterations, "$", both in base64 with a "$", zero byte */
#define ACR_ACCESS_HASH_MAX         (14 + 6 + 1 + 24 + 1 + 44 + 1)

#define acr_access_text(object, key)                                         \
    acr_json_text(json_object_get(object, key))


typedef struct {
    const char              *id;            /* NULL: there is none here */
    int64_t                  expiry;
    unsigned                 iterations;
    unsigned char            salt[ACR_ACCESS_SALT_LEN];
    unsigned char            key[ACR_ACCESS_KEY_LEN];
} acr_access_secret_t;

/* what is sorted begins with the text that it is sorted by */

typedef struct {
    acr_text_t               pattern;
    unsigned                 may;
} acr_access_grant_t;

typedef struct {
    acr_text_t               name;
    acr_access_grant_t      *grants;        /* each pattern once */
    size_t                   ngrants;
    json_t                  *json;          /* NULL: a system scope map */
} acr_access_map_t;

typedef struct {
    acr_text_t               name;
    const acr_access_map_t  *map;
    acr_access_secret_t      secrets[ACR_ACCESS_PASSWORDS];
    unsigned                 enabled;
    json_t                  *json;
} acr_access_token_t;

typedef struct {
    const char              *name;
    unsigned                 may;
} acr_access_role_t;

typedef struct {
    acr_text_t               id;
    acr_text_t               principal;     /* with its "user:" and so on */
    acr_text_t               scope;
    const acr_access_role_t *role;
    json_t                  *json;
} acr_access_assignment_t;

struct acr_access_s {
    json_t                   *root;

    acr_access_token_t        admin;        /* map is not used */

    acr_access_map_t         *maps;
    size_t                    nmaps;
    acr_access_token_t       *tokens;
    size_t                    ntokens;
    acr_access_assignment_t  *assignments;
    size_t                    nassignments;

    /* the assignments by their principals */
    const acr_access_assignment_t  **principals;

    unsigned                  anonymous;    /* it may pull something */
};

#define ACR_ACCESS_MEMBERS_MAX      6

/*
 * Members of an object.  Of the types JSON_TRUE is any boolean, JSON_INTEGER a
 * time, and JSON_NULL a time or null.
 */

typedef struct {
    const char           *name;
    json_type             type;
    int                   optional;
} acr_access_member_t;

typedef struct {
    acr_access_member_t   members[ACR_ACCESS_MEMBERS_MAX];
    const char           *unknown;
    const char           *missing;
    const char           *type;
} acr_access_form_t;


/* how two texts are sorted: as memcmp() has it, and shorter ones first */
int acr_access_compare(const acr_text_t *a, const acr_text_t *b);

/* what has this name in an array that is sorted by it, or NULL */
const void *acr_access_find(const void *array, size_t n, size_t size,
    const acr_text_t *name);

/* sorts what begins with a text; 1: all of them differ */
int acr_access_sort(void *array, size_t n, size_t size);

/* of an access that is being loaded: NULL or an error */
const char *acr_access_load_maps(acr_access_t *access, const json_t *list);

/* the token or the admin user, if it exists, is enabled and the password is
   still one; else NULL */
const acr_access_token_t *acr_access_owner(const acr_access_t *access,
    const acr_principal_t *principal, int64_t now);

/* the role assignments of a principal: *n of them */
const acr_access_assignment_t **acr_access_assigned(
    const acr_access_t *access, const char *kind, const acr_text_t *name,
    size_t *n);

/* NULL if there is none of this name; in upper or lower case, as with Azure */
const acr_access_role_t *acr_access_role_find(const acr_text_t *name);

extern const acr_access_form_t  acr_access_root_form;
extern const acr_access_form_t  acr_access_admin_form;
extern const acr_access_form_t  acr_access_password_form;
extern const acr_access_form_t  acr_access_map_form;
extern const acr_access_form_t  acr_access_token_form;
extern const acr_access_form_t  acr_access_assignment_form;

/* NULL if the value is an object of that form, else an error */
const char *acr_access_form(json_t *object, const acr_access_form_t *form);

/* 1 if a token, scope map or role assignment may be called so */
int acr_access_name_valid(const acr_text_t *name);

/* 1 if it is the id of a password */
int acr_access_id_valid(const acr_text_t *id);

/* the place of a password of this name, or -1 */
int acr_access_password_index(const acr_text_t *name, int admin);

/*
 * A new password, terminated by a zero, and its hash; 0: no randomness or no
 * memory.  The caller cleanses the password.
 */
int acr_access_password_make(char password[ACR_ACCESS_PASSWORD_LEN + 1],
    char hash[ACR_ACCESS_HASH_MAX]);

/* the id of a new password; 0: no randomness */
int acr_access_password_id(char id[ACR_ACCESS_ID_LEN + 1]);

/* parses a hash; 0: it is none */
int acr_access_password_parse(acr_access_secret_t *secret,
    const acr_text_t *hash);


/* a change that is being made */

typedef struct acr_access_kind_s  acr_access_kind_t;

typedef struct {
    const acr_access_kind_t  *kind;
    json_t                   *root;         /* is changed */
    json_t                   *list;         /* of this kind */
    json_t                   *entry;        /* of this name, or NULL */
    size_t                    place;        /* of it in the list */

    const acr_text_t         *name;
    const acr_text_t         *sub;
    const json_t             *body;
    int64_t                   now;

    json_t                   *answer;
    acr_change_e              code;
    const char               *error;
} acr_access_change_t;

struct acr_access_kind_s {
    const char  *name;
    const char  *list;                      /* NULL: there is only one */
    const char  *key;
    const char  *members[4];                /* that a client may set */
    const char  *unknown;
    int          passwords;
};


/* notes why the change is not made, and returns the code */
acr_change_e acr_access_refuse(acr_access_change_t *change, acr_change_e code,
    const char *error);

/* the same: no memory */
acr_change_e acr_access_failed(acr_access_change_t *change);

/* the element whose member is the text, and its place; or NULL */
json_t *acr_access_element(const json_t *list, const char *key,
    const acr_text_t *name, size_t *place);

/* the body is an object of members that a client may set, or there is none */
acr_change_e acr_access_body(acr_access_change_t *change,
    const char *const *members);

/* sets what the body has; what it has not stays as it is */
acr_change_e acr_access_set(acr_access_change_t *change);

/* PUT of the admin user, and POST of a password */
acr_change_e acr_access_put_admin(acr_access_change_t *change);
acr_change_e acr_access_post(acr_access_change_t *change);

#endif /* ACR_ACCESS_CORE_H */
