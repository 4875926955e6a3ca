//! The kinds of projects, and the files of each.

use std::fmt::Write as _;

use clap::ValueEnum;

use super::files::File;

/// What an application is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// A new project in PHP
    Php,
    /// A new project in Python
    Python,
    /// Files for a Laravel application
    Laravel,
    /// Files for a Symfony application
    Symfony,
    /// A new project with FastAPI
    Fastapi,
    /// A new project with Django
    Django,
}

/// A file of `templates/`, and its path in a project.
macro_rules! template {
    ($folder:literal, $from:literal) => {
        template!($folder, $from => $from)
    };
    ($folder:literal, $from:literal => $to:expr) => {
        File::new($to, include_str!(concat!("templates/", $folder, $from)))
    };
}

impl Kind {
    /// Where the README is. An existing application has one of its own.
    pub(super) fn readme(self) -> &'static str {
        if self.is_added() { "centrifugo/README.md" } else { "README.md" }
    }

    /// Whether the files are added to an existing application.
    fn is_added(self) -> bool {
        matches!(self, Self::Laravel | Self::Symfony)
    }

    /// Where the page is.
    fn page(self) -> &'static str {
        if self.is_added() { "public/centrifugo.html" } else { "public/index.html" }
    }

    /// All files, with everything filled in except secrets.
    pub(super) fn files(self) -> Vec<File> {
        let mut files = vec![
            template!("common/", "rr.yaml" => ".rr.yaml"),
            template!("common/", "centrifugo/config.json"),
            template!("common/", "centrifugo/env" => "centrifugo/.env"),
            template!("common/", "centrifugo/gitignore" => "centrifugo/.gitignore"),
            template!("common/", "public/index.html" => self.page()),
            template!("common/", "README.md" => self.readme()),
        ];
        let own = self.own_files();
        let mut table = String::new();
        for (file, meaning) in own.iter().filter(|(_, meaning)| !meaning.is_empty()) {
            let _ = writeln!(table, "| `{}` | {meaning} |", file.path);
        }
        let _ = write!(table, "| `{}` | the page, with centrifuge-js |", self.page());
        let page = if self.is_added() { "centrifugo.html" } else { "" };
        let [install, test, web] = self.commands();
        for (place, text) in [
            ("{{command}}", self.worker()),
            ("{{install}}", install),
            ("{{test}}", test),
            ("{{web}}", web),
            ("{{page}}", page),
            ("{{files}}", &table),
        ] {
            for file in files.iter_mut().filter(|file| file.text.contains(place)) {
                file.text = file.text.replace(place, text);
            }
        }
        files.extend(own.into_iter().map(|(file, _)| file));
        files
    }

    /// The files of this kind alone, and what they are; nothing for those that need no word.
    fn own_files(self) -> Vec<(File, &'static str)> {
        const HANDLERS: &str = "the handlers of Centrifugo's events";
        const TEST: &str = "their test, without a server";
        match self {
            Self::Php => vec![
                (template!("php/", "app.php"), "the worker"),
                (template!("php_common/", "Chat.php" => "src/Centrifugo/Chat.php"), HANDLERS),
                (template!("php_common/", "ChatTest.php" => "tests/ChatTest.php"), TEST),
                (template!("php/", "composer.json"), ""),
                (template!("php/", "gitignore" => ".gitignore"), ""),
            ],
            Self::Laravel => vec![
                (template!("laravel/", "routes/centrifugo.php"), "which classes have handlers"),
                (template!("php_common/", "Chat.php" => "app/Centrifugo/Chat.php"), HANDLERS),
                (template!("php_common/", "ChatTest.php" => "tests/Unit/ChatTest.php"), TEST),
            ],
            Self::Symfony => vec![
                (template!("php_common/", "Chat.php" => "src/Centrifugo/Chat.php"), HANDLERS),
                (template!("php_common/", "ChatTest.php" => "tests/Centrifugo/ChatTest.php"), TEST),
            ],
            Self::Python => vec![
                (template!("python/", "app.py"), HANDLERS),
                (template!("python/", "test_app.py"), TEST),
                (template!("python/", "gitignore" => ".gitignore"), ""),
            ],
            Self::Fastapi => vec![
                (template!("fastapi/", "main.py"), "the pages"),
                (template!("fastapi/", "realtime.py"), HANDLERS),
                (template!("fastapi/", "test_realtime.py"), TEST),
                (template!("python/", "gitignore" => ".gitignore"), ""),
            ],
            Self::Django => vec![
                (template!("django/", "manage.py"), ""),
                (template!("django/", "project/__init__.py"), ""),
                (template!("django/", "project/settings.py"), "the settings, with `CAUSEWAY_APP`"),
                (template!("django/", "project/urls.py"), "the pages"),
                (template!("django/", "project/realtime.py"), HANDLERS),
                (template!("django/", "project/tests.py"), TEST),
                (template!("django/", "gitignore" => ".gitignore"), ""),
            ],
        }
    }

    /// The command of a worker.
    fn worker(self) -> &'static str {
        match self {
            Self::Php => "php app.php",
            Self::Python => "python3 app.py",
            Self::Laravel => "php artisan centrifugo:work",
            Self::Symfony => "php bin/console centrifugo:work",
            Self::Fastapi => "python3 realtime.py",
            Self::Django => "python3 manage.py causeway",
        }
    }

    /// How to install what the project needs, test it, and serve its page at port 8080. Causeway's packages are in its repository.
    fn commands(self) -> [&'static str; 3] {
        match self {
            Self::Php => [
                "composer config repositories.causeway path /path/to/causeway/workers/php
composer install",
                "vendor/bin/phpunit --bootstrap vendor/autoload.php tests",
                "php -S 127.0.0.1:8080 -t public",
            ],
            Self::Laravel => [
                "composer config repositories.causeway path /path/to/causeway/workers/php
composer require 'causeway/worker:*@dev'",
                "php artisan test --filter ChatTest",
                "php artisan serve --port 8080",
            ],
            Self::Symfony => [
                "composer config repositories.causeway path /path/to/causeway/workers/php
composer require 'causeway/worker:*@dev'
# In config/bundles.php: Causeway\\Symfony\\CausewayBundle::class => ['all' => true],",
                "php bin/phpunit tests/Centrifugo",
                "php -S 127.0.0.1:8080 -t public",
            ],
            Self::Python => [
                "pip install /path/to/causeway/workers/python pytest",
                "python3 -m pytest",
                "python3 -m http.server 8080 --bind 127.0.0.1 --directory public",
            ],
            Self::Fastapi => [
                "pip install '/path/to/causeway/workers/python[fastapi]' uvicorn pytest",
                "python3 -m pytest",
                "uvicorn main:api --port 8080",
            ],
            Self::Django => [
                "pip install '/path/to/causeway/workers/python[django]'",
                "python3 manage.py test",
                "python3 manage.py runserver 8080",
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_secrets_are_left_to_fill_in() {
        for kind in Kind::value_variants() {
            for File { path, text } in kind.files() {
                let is_secret = |place: &str| ["api_key", "token_secret", "secret_key"].contains(&place);
                let mut places = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
                assert!(places.all(|(place, _)| is_secret(place)), "{kind:?}: {path}");
            }
        }
    }
}
