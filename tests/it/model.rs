//! Random commands by people with random rights, and a table of who may what that is typed in by hand: it knows nothing of
//! how the service decides.

use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, REPOSITORY};
use bivouac::crd::EnvironmentSpec;
use bivouac::sandbox::github::Role;
use bivouac::seams::Rng;

use crate::commands::{say, with_role};
use crate::support::{World, one};

/// Who is asked for: 1 read, 2 triage, 3 write, 4 maintain, 5 admin; and whether the author may too.
const TABLE: &[(&str, u8, bool)] = &[
    ("up", 3, false),
    ("up seed=1", 3, false),
    ("down", 3, true),
    ("redeploy", 3, true),
    ("redeploy --restart", 3, true),
    ("extend 2h", 3, true),
    ("pin", 4, false),
    ("unpin", 4, false),
    ("sleep", 3, true),
    ("wake", 3, true),
    ("approve", 4, false),
    ("rollback", 3, false),
    ("set colour=red", 3, false),
    ("unset colour", 3, false),
    ("status", 1, false),
    ("why", 1, false),
    ("logs", 3, false),
    ("diff", 1, false),
    ("help", 1, false),
];
/// Login, rights.
const PEOPLE: &[(&str, u8)] =
    &[("rea", 1), ("tri", 2), ("wen", 3), ("mai", 4), ("adm", 5), ("aut", 1), ("non", 1)];
const AUTHOR: &str = "aut";
/// In each of eight worlds: a thousand in all.
const COMMANDS: usize = 125;

fn role(level: u8) -> Role {
    match level {
        1 => Role::Read,
        2 => Role::Triage,
        3 => Role::Write,
        4 => Role::Maintain,
        _ => Role::Admin,
    }
}

macro_rules! worlds {
    ($($name:ident: $seed:literal),* $(,)?) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            nobody_ever_does_what_the_table_forbids($seed).await;
        }
    )*};
}

worlds! {
    nobody_does_what_the_table_forbids_in_the_first_world: 1,
    nobody_does_what_the_table_forbids_in_the_second_world: 2,
    nobody_does_what_the_table_forbids_in_the_third_world: 3,
    nobody_does_what_the_table_forbids_in_the_fourth_world: 4,
    nobody_does_what_the_table_forbids_in_the_fifth_world: 5,
    nobody_does_what_the_table_forbids_in_the_sixth_world: 6,
    nobody_does_what_the_table_forbids_in_the_seventh_world: 7,
    nobody_does_what_the_table_forbids_in_the_eighth_world: 8,
}

async fn nobody_ever_does_what_the_table_forbids(seed: u64) {
    let world = World::new(seed).await;
    let github = &world.stage.github;
    for (login, level) in PEOPLE {
        if *login == "non" {
            github.create_user(login).expect("a person");
        } else {
            with_role(&world, login, role(*level));
        }
    }
    let head = github
        .commit(REPOSITORY, "sparks", &one("CHANGES.md", "x"), "Change\n", MAINTAINER)
        .expect("a commit");
    let number = world.propose("sparks", "A change", AUTHOR);
    world.ready(number, &head).await;
    let rng = Rng::seeded(0xc0de + seed);
    let pick = |most: usize| usize::try_from(rng.below(most as u64)).expect("small");
    let mut levels: Vec<u8> = PEOPLE.iter().map(|(_, level)| *level).collect();
    let (mut allowed, mut forbidden) = (0, 0);
    for turn in 0..COMMANDS {
        // What is told of it waits for its turn at the forge; what is done does not.
        world.sleep(Duration::from_secs(2)).await;
        let who = pick(PEOPLE.len());
        let (login, _) = PEOPLE[who];
        if login != "non" && pick(6) == 0 {
            levels[who] = u8::try_from(pick(5) + 1).expect("small");
            github.add_collaborator(REPOSITORY, login, role(levels[who])).expect("a right");
        }
        let (verb, least, author) = TABLE[pick(TABLE.len())];
        let may = levels[who] >= least || (author && login == AUTHOR);
        let before = world.record(number).await.expect("a record").spec;
        let id = say(&world, number, &format!("/preview {verb}"), login);
        let name = format!("comment-{id}-1");
        let status = world
            .until(&format!("turn {turn}: {login} {verb} is answered"), async || {
                let all = crate::commands::all_requests(&world).await;
                let one = all.into_iter().find(|r| r.metadata.name.as_deref() == Some(&name))?;
                one.status.filter(|status| status.answered_at.is_some())
            })
            .await;
        let message = status.message.unwrap_or_default();
        let refused = message.contains(" is for: ");
        assert_eq!(!may, refused, "turn {turn}: {login} (level {}) {verb}: {message}", levels[who]);
        if may {
            allowed += 1;
        } else {
            forbidden += 1;
            let after = world.record(number).await.expect("a record").spec;
            // What the service itself does in between is to set back what has lost its object.
            let unchanged = EnvironmentSpec { want: after.want, ..before };
            assert_eq!(unchanged, after, "turn {turn}: {login} {verb}");
        }
    }
    assert!(allowed > 20 && forbidden > 20, "{allowed} {forbidden}");
}
