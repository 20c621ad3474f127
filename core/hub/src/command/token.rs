//! `rialto operator-token`: a new token for the operator, printed alone so that a script can take it.

use rialto_engine::{Clock as _, SystemClock};

use crate::command::{CommandError, runtime};
use crate::config::Config;
use crate::hub::{HubError, open_store};
use crate::master_secret;

pub(super) fn run(config: Config) -> Result<(), CommandError> {
    runtime()?.block_on(async {
        master_secret::make_folder(&config.data_dir).map_err(HubError::from)?;
        let store = open_store(&config).await?;
        let token = store.operator().create_token(SystemClock.now()).await?;
        store.close().await;
        println!("{token}");
        Ok(())
    })
}
