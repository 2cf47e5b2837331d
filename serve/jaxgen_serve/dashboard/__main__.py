"""python -m jaxgen_serve.dashboard: `streamlit`, but it asks no outside host for this machine's address."""

from streamlit import net_util
from streamlit.web.cli import main

if __name__ == "__main__":
    # Streamlit would compare it with the origin of each foreign page, and answer nobody while it waits for it.
    net_util.get_external_ip = lambda: None
    main(prog_name="streamlit")
