
/*
 * What the tests of acr_access share: a registry with some of everything, and
 * helpers that take JSON with single quotes.
 */

#ifndef TEST_ACR_ACCESS_H
#define TEST_ACR_ACCESS_H

#include "acr_access.h"
#include "tap.h"

#define NOW  1790000000

/* passwords, and their hashes by another implementation */
#define ONE  "A234567A234567A234567A234567A234567A234567A234567BCD"
#define TWO  "ZYXWVU7ZYXWVU7ZYXWVU7ZYXWVU7ZYXWVU7ZYXWVU7ZYXWVU7234"
#define HASH_ONE                                                             \
    "pbkdf2-sha256$1000$AAECAwQFBgcICQoLDA0ODw==$"                           \
    "Zto3BW8MdvH7EToVsn78c6ZmY/8VUVaN1l7G23sOyNk="
#define HASH_TWO                                                             \
    "pbkdf2-sha256$2000$EBESExQVFhcYGRobHB0eHw==$"                           \
    "BxShXM7pkuYOgDSoSY4DkYczSCMoqjPkLGz0fCX8Gjw="

#define PASSWORD(name, id, expiry, hash)                                     \
    "{'name':'" name "','created':1,'expiry':" expiry ",'id':'" id "',"      \
    "'hash':'" hash "'}"

#define MAP(name, actions)                                                   \
    "{'name':'" name "','description':'','created':1,'actions':["            \
    actions "]}"

#define TOKEN(name, enabled, map, passwords)                                 \
    "{'name':'" name "','enabled':" enabled ",'scopeMap':'" map "',"         \
    "'created':1,'passwords':[" passwords "]}"

#define ROLE(id, principal, role, scope)                                     \
    "{'id':'" id "','principal':'" principal "','role':'" role "',"          \
    "'scope':'" scope "','created':1}"

#define FILE_OF(admin, maps, tokens, roles)                                  \
    "{'version':1,'admin':" admin ",'scopeMaps':[" maps "],"                 \
    "'tokens':[" tokens "],'roleAssignments':[" roles "]}"

#define ADMIN_OFF  "{'enabled':false,'passwords':[]}"
#define FILE_MAPS(maps)      FILE_OF(ADMIN_OFF, maps, "", "")
#define FILE_TOKENS(tokens)  FILE_OF(ADMIN_OFF, MAP("ci", ""), tokens, "")
#define FILE_ROLES(roles)    FILE_OF(ADMIN_OFF, "", "", roles)

#define ID_A  "00000000000000aa"
#define ID_B  "00000000000000bb"
#define ID_C  "00000000000000cc"
#define ID_D  "00000000000000dd"

#define WHOLE                                                                \
    FILE_OF("{'enabled':true,'passwords':["                                  \
            PASSWORD("password", ID_A, "null", HASH_ONE) ","                 \
            PASSWORD("password2", ID_B, "null", HASH_TWO) "]}",              \
            MAP("ci", "'repositories/app/content/read',"                     \
                      "'repositories/app/content/write',"                    \
                      "'repositories/team/*/metadata/read',"                 \
                      "'repositories/app/content/read'")                     \
            "," MAP("none", ""),                                             \
            TOKEN("builder", "true", "ci",                                   \
                  PASSWORD("password1", ID_C, "null", HASH_ONE) ","          \
                  PASSWORD("password2", ID_D, "1790000100", HASH_TWO))       \
            "," TOKEN("off", "false", "ci",                                  \
                      PASSWORD("password1", ID_A, "null", HASH_ONE))         \
            "," TOKEN("all", "true", "_repositories_admin", "")              \
            "," TOKEN("bare", "true", "none", ""),                           \
            ROLE("r1", "user:alice", "AcrPull", "*")                         \
            "," ROLE("r2", "user:alice", "AcrDelete", "team/*")              \
            "," ROLE("r3", "group:devs", "AcrPush", "app")                   \
            "," ROLE("r4", "anonymous", "AcrPull", "public/*")               \
            "," ROLE("r5", "user:bob@example.com",                           \
                     "Container Registry Repository Catalog Lister", "*")    \
            "," ROLE("r6", "user:signer", "AcrImageSigner", "*"))


static inline acr_text_t
text_of(const char *s)
{
    acr_text_t  text;

    text.len = strlen(s);
    text.data = tap_copy(s, text.len);

    return text;
}


/* a copy with double quotes, from malloc() */

static inline unsigned char *
quoted(const char *s)
{
    size_t          i, n;
    unsigned char  *copy;

    n = strlen(s);
    copy = malloc(n ? n : 1);

    if (copy == NULL) {
        exit(2);
    }

    for (i = 0; i < n; i++) {
        copy[i] = s[i] == '\'' ? '"' : (unsigned char) s[i];
    }

    return copy;
}


static inline acr_access_t *
load(const char *s, const char **error)
{
    acr_access_t   *access;
    unsigned char  *copy;

    copy = quoted(s);
    access = acr_access_load(copy, strlen(s), error);
    free(copy);

    return access;
}


/* one whose groups are up to two; name may be NULL */

static inline acr_principal_t
principal(acr_principal_e kind, const char *name, const char *password)
{
    acr_principal_t  who;

    memset(&who, 0, sizeof(acr_principal_t));

    who.kind = kind;
    who.password = password;

    if (name) {
        who.name = text_of(name);
    }

    return who;
}


static inline unsigned
may(const acr_access_t *access, const acr_principal_t *who,
    const char *repository)
{
    acr_text_t  text;

    text = text_of(repository);

    return acr_access_repository(access, who, &text, NOW);
}


/* 1 if the JSON, which is released, is this text with single quotes */

static inline int
json_is(json_t *json, const char *want)
{
    int             same;
    json_t         *wanted;
    unsigned char  *copy;

    copy = quoted(want);
    wanted = json_loadb((char *) copy, strlen(want), JSON_DECODE_ANY, NULL);
    same = json && wanted && json_equal(json, wanted);

    if (!same) {
        char  *got = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;

        printf("#   got  %s\n#   want %s\n", got ? got : "nothing", want);
        free(got);
    }

    json_decref(json);
    json_decref(wanted);
    free(copy);

    return same;
}


/* 1 if the JSON's text has these bytes somewhere */

static inline int
json_has(const json_t *json, const char *bytes)
{
    int    has;
    char  *text;

    text = json_dumps(json, JSON_ENCODE_ANY);
    has = text == NULL || strstr(text, bytes) != NULL;
    free(text);

    return has;
}

#endif /* TEST_ACR_ACCESS_H */
