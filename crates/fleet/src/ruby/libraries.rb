# frozen_string_literal: true

# What service files may use without asking for it. Libraries are loaded when they are named first, and RubyGems, which
# takes longer to load than all else, when something is asked for that Ruby does not bring along.
module Hostler
  # Constants and the library of Ruby's that defines them.
  LIBRARIES = {
    Base64: 'base64', Date: 'date', DateTime: 'date', Digest: 'digest', ERB: 'erb', FileUtils: 'fileutils',
    Gem: 'rubygems', IPAddr: 'ipaddr', Logger: 'logger', Open3: 'open3', OpenSSL: 'openssl', OpenStruct: 'ostruct',
    Pathname: 'pathname', Psych: 'psych', SecureRandom: 'securerandom', Set: 'set', Shellwords: 'shellwords',
    Socket: 'socket', Tempfile: 'tempfile', Timeout: 'timeout', URI: 'uri', YAML: 'yaml'
  }.freeze
  LIBRARIES.each { |name, library| Object.autoload(name, library) }

  # Methods that libraries add to Ruby's own classes. Each of these gives way to the real one.
  METHODS = {
    Object => { to_yaml: 'yaml' }, Enumerable => { to_set: 'set' },
    String => { shellescape: 'shellwords', shellsplit: 'shellwords' }, Array => { shelljoin: 'shellwords' },
    Time.singleton_class => { parse: 'time', iso8601: 'time' }, Dir.singleton_class => { mktmpdir: 'tmpdir' }
  }.freeze
  METHODS.each do |owner, methods|
    methods.each do |name, library|
      owner.define_method(name) do |*arguments, **options, &block|
        require library
        public_send(name, *arguments, **options, &block)
      end
    end
  end

  # Loads RubyGems; false where that was done already.
  def self.gems!
    return false if @gems

    @gems = true
    require 'rubygems'
    true
  end
end

# Ruby's own, with RubyGems as the second try.
module Kernel
  alias hostler_require require
  private :hostler_require

  def require(path)
    hostler_require(path)
  rescue LoadError => e
    raise unless e.path == path
    # Where this is the first time, RubyGems has its own `require` from now on, which calls this one.
    return require(path) if Hostler.gems!
    raise unless path == 'erubis' && Gem::Specification.find_by_path(path).nil?

    Hostler.stand_in_for_erubis
  end
  private :require

  def gem(...)
    raise NoMethodError, "undefined method 'gem'" unless Hostler.gems!

    gem(...)
  end
  private :gem
end

# `Erubis` is a gem that service files take for granted.
class Object
  def self.const_missing(name)
    return super unless name == :Erubis

    require 'erubis'
    const_get(:Erubis)
  end
end
