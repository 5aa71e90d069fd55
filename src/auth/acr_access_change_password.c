
#include <string.h>

#include <openssl/crypto.h>

#include "acr_access_core.h"


/*
 * Makes a password of the entry anew, in the place of the one of that name.
 * *answer gets its name and value.
 */

static acr_change_e
acr_access_generate(acr_access_change_t *change, const acr_text_t *name,
    json_t *expiry, json_t **answer)
{
    int      rc;
    char     value[ACR_ACCESS_PASSWORD_LEN + 1];
    char     id[ACR_ACCESS_ID_LEN + 1], hash[ACR_ACCESS_HASH_MAX];
    size_t   place;
    json_t  *list, *password;

    list = json_object_get(change->entry, "passwords");

    if (list == NULL) {
        list = json_array();

        if (json_object_set_new(change->entry, "passwords", list)) {
            return acr_access_failed(change);
        }
    }

    if (!acr_access_password_id(id) || !acr_access_password_make(value, hash))
    {
        return acr_access_refuse(change, ACR_CHANGE_FAILED,
                                 "no randomness for a password");
    }

    *answer = json_pack("{s:s%, s:s%}", "name", name->data, name->len,
                        "value", value, (size_t) ACR_ACCESS_PASSWORD_LEN);

    OPENSSL_cleanse(value, sizeof(value));

    password = json_pack("{s:s%, s:I, s:O?, s:s, s:s}",
                         "name", name->data, name->len,
                         "created", (json_int_t) change->now,
                         "expiry", expiry, "id", id, "hash", hash);

    if (*answer == NULL || password == NULL) {
        json_decref(password);
        return acr_access_failed(change);
    }

    rc = acr_access_element(list, "name", name, &place)
         ? json_array_set_new(list, place, password)
         : json_array_append_new(list, password);

    return rc ? acr_access_failed(change) : ACR_CHANGE_OK;
}


acr_change_e
acr_access_post(acr_access_change_t *change)
{
    int           admin;
    json_t       *expiry;
    acr_change_e  rc;

    static const char *const  none[] = { NULL };
    static const char *const  members[] = { "expiry", NULL };

    if (!change->kind->passwords) {
        return acr_access_refuse(change, ACR_CHANGE_INVALID,
                                 "only the admin user and tokens have "
                                 "passwords");
    }

    if (change->entry == NULL) {
        return acr_access_refuse(change, ACR_CHANGE_UNKNOWN,
                                 change->kind->unknown);
    }

    admin = change->kind->list == NULL;

    if (change->sub == NULL
        || acr_access_password_index(change->sub, admin) < 0)
    {
        return acr_access_refuse(change, ACR_CHANGE_UNKNOWN,
                                 admin ? "the passwords are \"password\" and "
                                         "\"password2\""
                                       : "the passwords are \"password1\" "
                                         "and \"password2\"");
    }

    rc = acr_access_body(change, admin ? none : members);

    if (rc != ACR_CHANGE_OK) {
        return rc;
    }

    expiry = acr_json_get(change->body, "expiry");

    if (expiry && (!json_is_integer(expiry)
                   || json_integer_value(expiry) <= change->now
                   || json_integer_value(expiry) > ACR_ACCESS_TIME_MAX))
    {
        return acr_access_refuse(change, ACR_CHANGE_INVALID,
                                 "expiry is neither null nor a time to come, "
                                 "in seconds");
    }

    /* the body is the client's: no reference to what is in it */

    expiry = expiry ? json_integer(json_integer_value(expiry)) : json_null();

    if (expiry == NULL) {
        return acr_access_failed(change);
    }

    rc = acr_access_generate(change, change->sub, expiry, &change->answer);

    if (rc == ACR_CHANGE_OK && !admin
        && (json_object_set_new(change->answer, "username",
                            json_stringn((const char *) change->name->data,
                                         change->name->len))
            || json_object_set_new(change->answer, "created",
                                   json_integer(change->now))
            || json_object_set(change->answer, "expiry", expiry)))
    {
        rc = acr_access_failed(change);
    }

    json_decref(expiry);

    return rc;
}


/* both passwords of the admin user, if it has none */

static acr_change_e
acr_access_put_passwords(acr_access_change_t *change)
{
    unsigned      i;
    json_t       *answer, *list;
    acr_text_t    name;
    acr_change_e  rc;

    static const char *const  names[] = { "password", "password2" };

    change->answer = json_pack("{s:s, s:[]}", "username", ACR_ACCESS_ADMIN,
                               "passwords");
    list = json_object_get(change->answer, "passwords");

    for (i = 0; i < ACR_ACCESS_PASSWORDS; i++) {
        name.data = (const unsigned char *) names[i];
        name.len = strlen(names[i]);
        answer = NULL;

        rc = acr_access_generate(change, &name, json_null(), &answer);

        if (rc != ACR_CHANGE_OK) {
            json_decref(answer);
            return rc;
        }

        if (json_array_append_new(list, answer)) {
            return acr_access_failed(change);
        }
    }

    return ACR_CHANGE_OK;
}


acr_change_e
acr_access_put_admin(acr_access_change_t *change)
{
    json_t        *enabled;
    acr_change_e   rc;

    enabled = json_object_get(change->body, "enabled");

    if (!json_is_boolean(enabled)) {
        return acr_access_refuse(change, ACR_CHANGE_INVALID,
                                 "the body does not say whether the admin "
                                 "user is enabled");
    }

    rc = acr_access_body(change, change->kind->members);

    if (rc == ACR_CHANGE_OK) {
        rc = acr_access_set(change);
    }

    if (rc != ACR_CHANGE_OK || json_is_false(enabled)
        || json_array_size(json_object_get(change->entry, "passwords")))
    {
        return rc;
    }

    return acr_access_put_passwords(change);
}
