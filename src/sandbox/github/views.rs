//! PURE · the JSON of accounts, repositories, issues, pull requests, comments and labels as GitHub words it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::git::CommitInfo;
use super::model::{Account, Actor, Comment, Issue, Label, Pull, Reaction, Repo, Role, Time};
use super::ops::changes::changes;
use super::state::State;

/// Links of an account: field and what follows the account's API address.
const ACCOUNT_LINKS: &[(&str, &str)] = &[
    ("followers_url", "/followers"),
    ("following_url", "/following{/other_user}"),
    ("gists_url", "/gists{/gist_id}"),
    ("starred_url", "/starred{/owner}{/repo}"),
    ("subscriptions_url", "/subscriptions"),
    ("organizations_url", "/orgs"),
    ("repos_url", "/repos"),
    ("events_url", "/events{/privacy}"),
    ("received_events_url", "/received_events"),
];

/// Links of a repository: field and what follows its API address.
const REPO_LINKS: &[(&str, &str)] = &[
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
];

/// GitHub's opaque id of a thing.
pub(super) fn node_id(kind: &str, id: u64) -> String {
    STANDARD.encode(format!("0{}:{kind}{id}", kind.len()))
}

/// Time as GitHub writes it.
pub(super) fn time(at: Time) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn some_time(at: Option<Time>) -> Option<String> {
    at.map(time)
}

impl State {
    /// Address of the API.
    pub(super) fn api(&self) -> String {
        format!("{}/api/v3", self.url)
    }

    /// API address of a repository.
    pub(super) fn repo_api(&self, repo: &Repo) -> String {
        format!("{}/repos/{}", self.api(), self.full_name(repo))
    }

    /// Page of a repository.
    pub(super) fn repo_html(&self, repo: &Repo) -> String {
        format!("{}/{}", self.url, self.full_name(repo))
    }

    /// Page of an issue or pull request.
    pub(super) fn issue_html(&self, repo: &Repo, issue: &Issue) -> String {
        let kind = if issue.pull.is_some() { "pull" } else { "issues" };
        format!("{}/{kind}/{}", self.repo_html(repo), issue.number)
    }

    pub(super) fn user_json(&self, id: u64) -> Value {
        let Some(account) = self.accounts.get(&id) else {
            return json!({ "login": "ghost", "id": 10137, "type": "User", "site_admin": false });
        };
        self.account_json(account)
    }

    pub(super) fn account_json(&self, account: &Account) -> Value {
        // A bot's login holds brackets, which an address may not.
        let login = account.login.replace('[', "%5B").replace(']', "%5D");
        let api = format!("{}/users/{login}", self.api());
        let mut json = json!({
            "login": account.login,
            "id": account.id,
            "node_id": node_id(account.kind.name(), account.id),
            "avatar_url": format!("{}/avatars/u/{}", self.url, account.id),
            "gravatar_id": "",
            "url": api,
            "html_url": format!("{}/{login}", self.url),
            "type": account.kind.name(),
            "user_view_type": "public",
            "site_admin": false,
            "created_at": time(account.created_at),
        });
        for (field, suffix) in ACCOUNT_LINKS {
            json[*field] = format!("{api}{suffix}").into();
        }
        json
    }

    /// An account by itself, as everybody sees it.
    pub(super) fn profile_json(&self, account: &Account) -> Value {
        let mut json = self.account_json(account);
        let own = self.repos.values().filter(|r| r.owner == account.id && !r.private).count();
        let more = json!({
            "name": account.login, "company": null, "blog": "", "location": null, "email": null,
            "hireable": null, "bio": null, "public_repos": own, "public_gists": 0,
            "followers": 0, "following": 0, "updated_at": time(account.created_at),
        });
        merge_into(&mut json, more);
        json
    }

    pub(super) fn repo_json(&self, repo: &Repo, actor: Actor) -> Value {
        let (api, html) = (self.repo_api(repo), self.repo_html(repo));
        let open = repo.issues.values().filter(|issue| issue.open).count();
        let mut json = json!({
            "id": repo.id,
            "node_id": node_id("Repository", repo.id),
            "name": repo.name,
            "full_name": self.full_name(repo),
            "private": repo.private,
            "visibility": if repo.private { "private" } else { "public" },
            "owner": self.user_json(repo.owner),
            "html_url": html,
            "description": null,
            "fork": repo.fork_of.is_some(),
            "url": api,
            "clone_url": format!("{html}.git"),
            "git_url": format!("{html}.git"),
            "ssh_url": format!("{html}.git"),
            "svn_url": html,
            "mirror_url": null,
            "homepage": null,
            "language": null,
            "license": null,
            "size": 0,
            "created_at": time(repo.created_at),
            "updated_at": time(repo.updated_at),
            "pushed_at": time(repo.pushed_at),
        });
        let more = json!({
            "forks": 0, "forks_count": self.repos.values().filter(|r| r.fork_of == Some(repo.id)).count(),
            "stargazers_count": 0,
            "watchers": 0, "watchers_count": 0,
            "open_issues": open, "open_issues_count": open,
            "default_branch": repo.default_branch,
            "is_template": false,
            "topics": [],
            "has_issues": true, "has_projects": true, "has_wiki": true, "has_pages": false,
            "has_downloads": true, "has_discussions": false,
            "archived": false, "disabled": false, "allow_forking": true,
            "web_commit_signoff_required": false,
        });
        merge_into(&mut json, more);
        for (field, suffix) in REPO_LINKS {
            json[*field] = format!("{api}{suffix}").into();
        }
        match actor {
            Actor::User(account) => {
                json["permissions"] = permissions(self.role_of(account, repo));
            }
            Actor::Installation(bearer) if self.reaches(bearer, repo) => {
                let push = self.app_may(bearer, "contents", "write");
                let role = if push { Role::Write } else { Role::Read };
                json["permissions"] = permissions(Some(role));
            }
            Actor::Installation(_) | Actor::Anonymous | Actor::App(_) => {}
        }
        json
    }

    pub(super) fn label_json(&self, repo: &Repo, label: &Label) -> Value {
        json!({
            "id": label.id,
            "node_id": node_id("Label", label.id),
            "url": format!("{}/labels/{}", self.repo_api(repo), encode(&label.name)),
            "name": label.name,
            "color": label.color,
            "default": false,
            "description": label.description,
        })
    }

    pub(super) fn labels_json(&self, repo: &Repo, issue: &Issue) -> Vec<Value> {
        let labels = issue.labels.iter().filter_map(|name| repo.labels.get(name));
        labels.map(|label| self.label_json(repo, label)).collect()
    }

    pub(super) fn issue_json(&self, repo: &Repo, issue: &Issue) -> Value {
        let api = format!("{}/issues/{}", self.repo_api(repo), issue.number);
        let html = self.issue_html(repo, issue);
        let comments = repo.comments.values().filter(|c| c.issue == issue.number).count();
        let mut json = json!({
            "id": issue.id,
            "node_id": node_id("Issue", issue.id),
            "url": api,
            "repository_url": self.repo_api(repo),
            "labels_url": format!("{api}/labels{{/name}}"),
            "comments_url": format!("{api}/comments"),
            "events_url": format!("{api}/events"),
            "timeline_url": format!("{api}/timeline"),
            "html_url": html,
            "number": issue.number,
            "state": state(issue),
            "state_reason": if issue.open { Value::Null } else { "completed".into() },
            "title": issue.title,
            "body": issue.body,
            "user": self.user_json(issue.author),
            "labels": self.labels_json(repo, issue),
            "assignee": null,
            "assignees": [],
            "milestone": null,
            "locked": false,
            "active_lock_reason": null,
            "comments": comments,
            "closed_at": some_time(issue.closed_at),
            "closed_by": issue.closed_by.map(|by| self.user_json(by)),
            "created_at": time(issue.created_at),
            "updated_at": time(issue.updated_at),
            "author_association": self.association(issue.author, repo),
            "performed_via_github_app": null,
        });
        if let Some(pull) = &issue.pull {
            json["draft"] = pull.draft.into();
            json["pull_request"] = json!({
                "url": format!("{}/pulls/{}", self.repo_api(repo), issue.number),
                "html_url": html,
                "diff_url": format!("{html}.diff"),
                "patch_url": format!("{html}.patch"),
                "merged_at": pull.merged.as_ref().map(|merged| time(merged.at)),
            });
        }
        json
    }

    /// A pull request as lists show it.
    pub(super) fn pull_json(&self, repo: &Repo, issue: &Issue, pull: &Pull) -> Value {
        let base_api = self.repo_api(repo);
        let api = format!("{base_api}/pulls/{}", issue.number);
        let issue_api = format!("{base_api}/issues/{}", issue.number);
        let html = self.issue_html(repo, issue);
        let statuses = format!("{base_api}/statuses/{}", pull.head_sha);
        let link = |href: &str| json!({ "href": href });
        let head_repo = pull.head_repo.and_then(|id| self.repos.get(&id));
        let mut json = json!({
            "id": pull.id,
            "node_id": node_id("PullRequest", pull.id),
            "url": api,
            "html_url": html,
            "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"),
            "issue_url": issue_api,
            "commits_url": format!("{api}/commits"),
            "review_comments_url": format!("{api}/comments"),
            "review_comment_url": format!("{base_api}/pulls/comments{{/number}}"),
            "comments_url": format!("{issue_api}/comments"),
            "statuses_url": statuses,
            "number": issue.number,
            "state": state(issue),
            "locked": false,
            "active_lock_reason": null,
            "title": issue.title,
            "user": self.user_json(issue.author),
            "body": issue.body,
            "labels": self.labels_json(repo, issue),
            "milestone": null,
            "assignee": null,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "created_at": time(issue.created_at),
            "updated_at": time(issue.updated_at),
            "closed_at": some_time(issue.closed_at),
            "merged_at": pull.merged.as_ref().map(|merged| time(merged.at)),
            "merge_commit_sha": match &pull.merged {
                Some(merged) => Some(merged.commit.as_str()),
                None => pull.test_merge.shown(self.clock.now()).1,
            },
            "draft": pull.draft,
        });
        let more = json!({
            "head": {
                "label": format!("{}:{}", self.login(pull.head_owner), pull.head_branch),
                "ref": pull.head_branch,
                "sha": pull.head_sha,
                "user": self.user_json(pull.head_owner),
                "repo": head_repo.map(|head| self.repo_json(head, Actor::Anonymous)),
            },
            "base": {
                "label": format!("{}:{}", self.login(repo.owner), pull.base_branch),
                "ref": pull.base_branch,
                "sha": pull.base_sha,
                "user": self.user_json(repo.owner),
                "repo": self.repo_json(repo, Actor::Anonymous),
            },
            "_links": {
                "self": link(&api),
                "html": link(&html),
                "issue": link(&issue_api),
                "comments": link(&format!("{issue_api}/comments")),
                "review_comments": link(&format!("{api}/comments")),
                "review_comment": link(&format!("{base_api}/pulls/comments{{/number}}")),
                "commits": link(&format!("{api}/commits")),
                "statuses": link(&statuses),
            },
            "author_association": self.association(issue.author, repo),
            "auto_merge": null,
        });
        merge_into(&mut json, more);
        json
    }

    /// A pull request alone: with what has to be computed for it.
    pub(super) fn full_pull_json(&self, repo: &Repo, issue: &Issue, pull: &Pull) -> Value {
        let mut json = self.pull_json(repo, issue, pull);
        let changes = changes(repo, pull).unwrap_or_default();
        let start = repo.git.merge_base(&pull.base_sha, &pull.head_sha);
        let start = start.unwrap_or_else(|| pull.base_sha.clone());
        let commits = repo.git.between(&start, &pull.head_sha, 250).len();
        let comments = repo.comments.values().filter(|c| c.issue == issue.number).count();
        let (mergeable, _) = pull.test_merge.shown(self.clock.now());
        let mergeable = mergeable.filter(|_| issue.open);
        let by = pull.merged.as_ref().map(|merged| self.user_json(merged.by));
        let word = match mergeable {
            None => "unknown",
            Some(false) => "dirty",
            Some(true) if pull.draft => "draft",
            Some(true) => "clean",
        };
        let more = json!({
            "merged": pull.merged.is_some(),
            "mergeable": mergeable,
            "rebaseable": mergeable,
            "mergeable_state": word,
            "merged_by": by,
            "comments": comments,
            "review_comments": 0,
            "maintainer_can_modify": pull.head_repo.is_some_and(|head| head != repo.id),
            "commits": commits,
            "additions": changes.iter().map(|change| change.additions).sum::<usize>(),
            "deletions": changes.iter().map(|change| change.deletions).sum::<usize>(),
            "changed_files": changes.len(),
        });
        merge_into(&mut json, more);
        json
    }

    pub(super) fn comment_json(&self, repo: &Repo, comment: &Comment) -> Value {
        let base = self.repo_api(repo);
        let api = format!("{base}/issues/comments/{}", comment.id);
        let page = repo.issues.get(&comment.issue).map(|issue| self.issue_html(repo, issue));
        let count =
            |content: &str| comment.reactions.values().filter(|r| r.content == content).count();
        let app = comment.app.and_then(|id| self.apps.get(&id)).map(|app| self.app_json(app));
        json!({
            "id": comment.id,
            "node_id": node_id("IssueComment", comment.id),
            "url": api,
            "html_url": format!("{}#issuecomment-{}", page.unwrap_or_default(), comment.id),
            "issue_url": format!("{base}/issues/{}", comment.issue),
            "user": self.user_json(comment.author),
            "created_at": time(comment.created_at),
            "updated_at": time(comment.updated_at),
            "author_association": self.association(comment.author, repo),
            "body": comment.body,
            "performed_via_github_app": app,
            "reactions": {
                "url": format!("{api}/reactions"),
                "total_count": comment.reactions.len(),
                "+1": count("+1"), "-1": count("-1"), "laugh": count("laugh"),
                "hooray": count("hooray"), "confused": count("confused"), "heart": count("heart"),
                "rocket": count("rocket"), "eyes": count("eyes"),
            },
        })
    }

    pub(super) fn reaction_json(&self, reaction: &Reaction) -> Value {
        json!({
            "id": reaction.id,
            "node_id": node_id("Reaction", reaction.id),
            "user": self.user_json(reaction.user),
            "content": reaction.content,
            "created_at": time(reaction.created_at),
        })
    }

    /// A commit as `/commits` and `/pulls/N/commits` show it.
    pub(super) fn commit_json(&self, repo: &Repo, info: &CommitInfo) -> Value {
        let api = self.repo_api(repo);
        let (html, sha) = (self.repo_html(repo), &info.sha);
        let person = json!({ "name": info.author, "email": info.email, "date": time(info.at) });
        let account = self.account(&info.author).map(|account| self.account_json(account));
        let parents: Vec<Value> = info
            .parents
            .iter()
            .map(|parent| {
                json!({
                    "sha": parent,
                    "url": format!("{api}/commits/{parent}"),
                    "html_url": format!("{html}/commit/{parent}"),
                })
            })
            .collect();
        json!({
            "sha": sha,
            "node_id": node_id("Commit", repo.id),
            "url": format!("{api}/commits/{sha}"),
            "html_url": format!("{html}/commit/{sha}"),
            "comments_url": format!("{api}/commits/{sha}/comments"),
            "commit": {
                "url": format!("{api}/git/commits/{sha}"),
                "author": person,
                "committer": person,
                "message": info.message,
                "tree": { "sha": info.tree, "url": format!("{api}/git/trees/{}", info.tree) },
                "comment_count": 0,
                "verification": {
                    "verified": false, "reason": "unsigned", "signature": null, "payload": null,
                    "verified_at": null,
                },
            },
            "author": account,
            "committer": account,
            "parents": parents,
        })
    }
}

/// The five booleans of a role.
pub(super) fn permissions(role: Option<Role>) -> Value {
    json!({
        "admin": role >= Some(Role::Admin),
        "maintain": role >= Some(Role::Maintain),
        "push": role >= Some(Role::Write),
        "triage": role >= Some(Role::Triage),
        "pull": role >= Some(Role::Read),
    })
}

/// `open` or `closed`.
pub(super) fn state(issue: &Issue) -> &'static str {
    if issue.open { "open" } else { "closed" }
}

/// Puts the fields of `more` into `json`.
pub(super) fn merge_into(json: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (json, more) {
        into.extend(more);
    }
}

/// Percent-encodes one path segment.
pub(super) fn encode(segment: &str) -> String {
    use std::fmt::Write as _;
    segment.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}
