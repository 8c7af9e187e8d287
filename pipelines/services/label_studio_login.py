"""The stored login of Label Studio: a token that was reset there is fetched anew with the password."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import requests

from backends.core.errors import LabelStudioDown, SetupFault, TokenRefused
from backends.labelstudio.client import LabelStudioClient
from pipelines.services.installation import Login, keep_login, login_path
from pipelines.services.supervisor import Say


def working_login(url: str, login: Login, data_dir: Path, say: Say) -> Login:
    """``login`` when its token is accepted, else the same account with its present token, stored.

    Raises SetupFault when the password does not work either, LabelStudioDown.
    """
    try:
        LabelStudioClient(url, login.token).whoami()
        return login
    except TokenRefused:
        say("Label Studio refuses the stored token (reset there?): fetching the present one.")
    renewed = replace(login, token=_token_by_password(url, login, data_dir))
    keep_login(data_dir, renewed)
    return renewed


def _token_by_password(url: str, login: Login, data_dir: Path) -> str:
    """Log in by the form, as a browser does, allow legacy tokens and read the account's own."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            session.get(f"{url}/user/login/", timeout=20)
            form = {"email": login.email, "password": login.password}
            form["csrfmiddlewaretoken"] = str(session.cookies.get("csrftoken"))
            session.post(f"{url}/user/login/", data=form, timeout=20, headers={"Referer": url})
            headers = {"X-CSRFToken": str(session.cookies.get("csrftoken")), "Referer": url}
            allowed = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
            session.post(f"{url}/api/jwt/settings", json=allowed, headers=headers, timeout=20)
            answer = session.get(f"{url}/api/current-user/token", timeout=20)
        except requests.RequestException as error:
            raise LabelStudioDown(f"Label Studio at {url} went away during the login") from error
    token = answer.json().get("token") if answer.status_code == 200 else None
    if not isinstance(token, str):
        raise SetupFault(
            f"Label Studio refuses both token and password of {login.email}; write an account that works "
            f'into {login_path(data_dir)}: {{"email": "…", "password": "…", "token": "…"}} '
            "(the token is under Account & Settings)"
        )
    return token
