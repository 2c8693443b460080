using System.Globalization;
using System.Reflection;
using ByteStreams.Configuration;
using ByteStreams.Transport.Validation;
using Microsoft.Extensions.Configuration;

namespace ByteStreams.Middleware.Tests.Configuration;

/// <summary>Each key of the table sets the option of its name, shows its default, and refuses what it does not take (F45).</summary>
public class EndpointTableTests
{
    internal const string Path = "ByteStreams:Endpoints:a";

    /// <summary>Options that are objects of the program, and which no text can say.</summary>
    private static readonly string[] OfCodeOnly =
    [
        "ByteStreamServerOptions.Tls", "ByteStreamServerOptions.TlsHandshakeTimeout", "ByteStreamServerOptions.TlsShutdownTimeout",
        "ByteStreamServerOptions.TlsRequireCloseNotify", "ByteStreamServerOptions.TlsEngine", // The section Tls takes their place.
        "ByteStreamServerOptions.Name", "TelemetryOptions.Endpoint", // The section's own name.
        "ByteStreamServerOptions.AddressFamily", // The host in the Url says it.
        "ByteStreamServerOptions.ShutdownTimeout", // The service's DrainTimeout takes its place.
        "ByteStreamServerOptions.StartServing", "ByteStreamServerOptions.LoggerFactory", "ByteStreamServerOptions.ApplicationServices",
        "ByteStreamServerOptions.TimeProvider", "ByteStreamServerOptions.IsAdministrative", "TlsServerOptions.Configure", "AdmissionOptions.RateLimiter", "EndpointSettings.Server",

        // Of a relay's upstream connections, only TCP's own options are keys: the endpoint's engine and the section Relay say the rest.
        .. ((string[])[
            "AddressFamily", "ConnectTimeout", "Engine", "EventLoops", "HappyEyeballsDelay", "Limit", "LingerBytes", "LingerTimeout", "LocalEndPoint",
            "ApplicationServices", "LoggerFactory", "MaxReceiveBlock", "ProxyHeader", "ReceiveBufferSize", "SendBufferSize", "ServerHostName", "TimeProvider", "Tls",
            "TlsEngine", "TlsHandshakeTimeout", "TlsRequireCloseNotify", "TlsShutdownTimeout", "WriteBufferHighWater", "WriteBufferLowWater",
        ]).Select(name => $"UpstreamConnectionOptions.{name}"),
    ];

    private static readonly Dictionary<string, SettingTable> Tables = All().ToDictionary(pair => pair.Path, pair => pair.Table);

    public static TheoryData<string, string> Keys() =>
        new(Tables.SelectMany(pair => pair.Value.All.Where(key => key.Table is null || key.IsList).Select(key => (pair.Key, key.Name))));

    public static TheoryData<string, string> Values() =>
        new(Tables.SelectMany(pair => pair.Value.All.Where(key => key.Table is null && !key.IsList).Select(key => (pair.Key, key.Name))));

    public static TheoryData<string> Paths() => new(Tables.Keys);

    [Theory]
    [MemberData(nameof(Keys))]
    public void Read_EachKey_SetsTheOptionOfItsNameAndNoOther(string path, string key)
    {
        (SettingTable table, Setting setting) = Find(path, key);
        object options = Activator.CreateInstance(table.Options)!;
        Dictionary<string, string?> before = Facts(options);

        // Any case will do.
        (Dictionary<string, string?> written, string expected) = Sample(setting);
        Assert.Empty(Read(table, key.ToUpperInvariant(), written, options));

        Dictionary<string, string?> after = Facts(options);
        Assert.Equal(expected, after[key]);
        Assert.NotEqual(before[key], after[key]);
        before[key] = after[key];
        if (key == nameof(ByteStreamServerOptions.WriteBufferHighWater))
        {
            // A quarter of it, unless somebody says otherwise.
            before[nameof(ByteStreamServerOptions.WriteBufferLowWater)] = after[nameof(ByteStreamServerOptions.WriteBufferLowWater)];
        }

        Assert.Equal(before, after);
    }

    [Theory]
    [MemberData(nameof(Values))]
    public void Default_EachKey_IsTheOptionsOwn(string path, string key)
    {
        (SettingTable table, Setting setting) = Find(path, key);
        object options = Activator.CreateInstance(table.Options)!;
        string? byDefault = Facts(options)[key];
        if (setting.Default is null)
        {
            Assert.Null(byDefault);
            return;
        }

        // Written as it is shown, it undoes what was said before.
        Assert.Empty(Read(table, key, Sample(setting).Written, options));
        Assert.Empty(Read(table, key, new() { [string.Empty] = setting.Default }, options));
        Assert.Equal(byDefault, Facts(options)[key]);
    }

    [Theory]
    [MemberData(nameof(Values))]
    [Trait("Fault", "F45")]
    public void Read_WrongValueOfEachKey_IsRefusedWithKeyCauseAndRemedyAndChangesNothing(string path, string key)
    {
        (SettingTable table, Setting setting) = Find(path, key);
        foreach (string wrong in Wrong(setting))
        {
            object options = Activator.CreateInstance(table.Options)!;
            Dictionary<string, string?> before = Facts(options);

            Assert.Equal(
                [$"{Path}:{key}: '{wrong}' is not valid. It takes {setting.Takes}."], Read(table, key, new() { [string.Empty] = wrong }, options));
            Assert.Equal(before, Facts(options));
        }
    }

    [Theory]
    [MemberData(nameof(Values))]
    [Trait("Fault", "F45")]
    public void Read_SectionWhereEachKeyTakesOneValue_IsRefused(string path, string key)
    {
        (SettingTable table, _) = Find(path, key);

        Assert.Equal([$"{Path}:{key}: takes one value, not a section."], Read(table, key, new() { [":x"] = "1" }, Activator.CreateInstance(table.Options)!));
    }

    [Theory]
    [MemberData(nameof(Paths))]
    public void Options_EachProperty_HasAKeyOrIsOfCodeOnly(string path)
    {
        SettingTable table = Tables[path];
        SettingTable[] same = [.. Tables.Values.Where(other => other.Options == table.Options)];

        string[] properties = [.. Facts(Activator.CreateInstance(table.Options)!).Keys];
        string[] keys = [.. same.SelectMany(other => other.All).Select(setting => setting.Name).Distinct()];

        Assert.Equal(keys.Order(), properties.Where(name => !OfCodeOnly.Contains($"{table.Options.Name}.{name}")).Order());
    }

    [Theory]
    [InlineData("Tls:Certificats:0:Path", "Tls:Certificats", "Certificates")]
    [InlineData("Tls:Certificates:0:KeyPth", "Tls:Certificates:0:KeyPth", "KeyPath")]
    [InlineData("Admission:MaxConections", "Admission:MaxConections", "MaxConnections")]
    [InlineData("Admission:Enabeld", "Admission:Enabeld", "Enabled")]
    [InlineData("ProxyProtocol:TrustedNetwork", "ProxyProtocol:TrustedNetwork", "TrustedNetworks")]
    [InlineData("Timeout:SendStall", "Timeout", "Timeouts")]
    [InlineData("timeouts:sendstal", "timeouts:sendstal", "SendStall")]
    [InlineData("Lmit", "Lmit", "Limit")]
    [Trait("Fault", "F45")]
    public void Apply_UnknownKeyInASection_NamesTheNearest(string key, string named, string nearest)
    {
        var errors = new List<string>();

        EndpointConfiguration.Apply(Section(new() { [$"{Path}:{key}"] = "1" }), new EndpointSettings(), errors);

        Assert.Equal([$"{Path}:{named}: there is no such key. Did you mean '{nearest}'?"], errors);
    }

    [Fact]
    [Trait("Fault", "F45")]
    public void Apply_UnknownKeyLikeNone_NamesAll()
    {
        var errors = new List<string>();

        EndpointConfiguration.Apply(Section(new() { [$"{Path}:Telemetry:Whatever"] = "1" }), new EndpointSettings(), errors);

        Assert.Equal([$"{Path}:Telemetry:Whatever: there is no such key. Known are Enabled, SummaryLog, LogEmptyConnections, Tracing."], errors);
    }

    [Fact]
    public void Apply_Lists_AreArraysOrOneTextAndReplaceTheDefaults()
    {
        var settings = new EndpointSettings();
        EndpointConfiguration.Apply(Section(new() { [$"{Path}:Access:Allow:0"] = "10.0.0.0/8", [$"{Path}:Access:Deny"] = "10.1.0.0/16, ::1,,unix" }), settings, []);
        Assert.Equal(["10.0.0.0/8"], settings.Access.Options.Allow);
        Assert.Equal(["10.1.0.0/16", "::1", "unix"], settings.Access.Options.Deny);

        EndpointConfiguration.Apply(Section(new() { [$"{Path}:Access:Allow:0"] = "192.168.0.0/16" }), settings, []);
        Assert.Equal(["192.168.0.0/16"], settings.Access.Options.Allow);
        Assert.Equal(3, settings.Access.Options.Deny.Count);

        // A variable replaces the file's array, and does not let in more than it says.
        EndpointConfiguration.Apply(Section(new() { [$"{Path}:Access:Allow:0"] = "0.0.0.0/0", [$"{Path}:Access:Allow"] = "127.0.0.1" }), settings, []);
        Assert.Equal(["127.0.0.1"], settings.Access.Options.Allow);

        // As JSON has an empty array.
        EndpointConfiguration.Apply(Section(new() { [$"{Path}:Access:Allow"] = string.Empty }), settings, []);
        Assert.Empty(settings.Access.Options.Allow);
    }

    [Fact]
    public void Apply_ListOfSections_ReplacesTheDefaults()
    {
        var settings = new EndpointSettings();
        EndpointConfiguration.Apply(Section(new() { [$"{Path}:Tls:Certificates:0:Path"] = "a", [$"{Path}:Tls:Certificates:1:Path"] = "b" }), settings, []);
        EndpointConfiguration.Apply(Section(new() { [$"{Path}:Tls:Certificates:0:Path"] = "c", [$"{Path}:Tls:Certificates:0:Hosts"] = "x,y" }), settings, []);

        TlsCertificateOptions only = Assert.Single(settings.Tls.Options.Certificates);
        Assert.Equal(("c", "x,y"), (only.Path, string.Join(',', only.Hosts)));
    }

    [Theory]
    [InlineData("Telemetry")]
    [InlineData("Admission")]
    [InlineData("ProxyProtocol")]
    [InlineData("Access")]
    [InlineData("Tls")]
    [InlineData("Timeouts")]
    public void Apply_Enabled_SwitchesTheSectionOffAndOn(string section)
    {
        PropertyInfo property = typeof(EndpointSettings).GetProperty(section)!;
        var settings = new EndpointSettings();
        object state = property.GetValue(settings)!;
        bool IsEnabled() => (bool)state.GetType().GetProperty("IsEnabled")!.GetValue(state)!;
        Assert.True(IsEnabled());

        EndpointConfiguration.Apply(Section(new() { [$"{Path}:{section}:enabled"] = "False" }), settings, []);
        Assert.False(IsEnabled());

        EndpointConfiguration.Apply(Section(new() { [$"{Path}:{section}:Enabled"] = "true" }), settings, []);
        Assert.True(IsEnabled());

        var errors = new List<string>();
        EndpointConfiguration.Apply(Section(new() { [$"{Path}:{section}:Enabled"] = "no" }), settings, errors);
        Assert.Equal([$"{Path}:{section}:Enabled: 'no' is not valid. It takes true or false."], errors);
    }

    [Theory]
    [InlineData("")]
    [InlineData(":Tls")]
    [InlineData(":Access")]
    [InlineData(":Tls:Certificates")]
    [InlineData(":Tls:Certificates:0")]
    [Trait("Fault", "F45")]
    public void Apply_ValueWhereASectionIsMeant_IsRefused(string key)
    {
        var errors = new List<string>();

        EndpointConfiguration.Apply(Section(new() { [$"{Path}{key}"] = "true" }), new EndpointSettings(), errors);

        Assert.Equal([$"{Path}{key}: 'true' is not valid. It takes a section of keys, not one value."], errors);
    }

    internal static IEnumerable<(string Path, SettingTable Table)> All()
    {
        yield return ("service", EndpointTable.Service);
        yield return ("sockets", EndpointTable.Listening);
        foreach ((string path, SettingTable table) in Within("endpoint", EndpointTable.Endpoint))
        {
            yield return (path, table);
        }

        static IEnumerable<(string, SettingTable)> Within(string path, SettingTable table) =>
            table.All.Where(setting => setting.Table is not null).SelectMany(setting => Within(path == "endpoint" ? setting.Name : $"{path}:{setting.Name}", setting.Table!)).Prepend((path, table));
    }

    private static (SettingTable Table, Setting Setting) Find(string path, string key) => (Tables[path], Tables[path].All.Single(setting => setting.Name == key));

    private static IConfigurationSection Section(Dictionary<string, string?> settings) =>
        new ConfigurationBuilder().AddInMemoryCollection(settings).Build().GetSection(Path);

    /// <summary>Gives one key to the table; what is behind the key's path in <paramref name="written"/> is appended to it.</summary>
    internal static List<string> Read(SettingTable table, string key, Dictionary<string, string?> written, object options)
    {
        var errors = new List<string>();
        IConfigurationSection child = Section(written.ToDictionary(pair => $"{Path}:{key}{pair.Key}", pair => pair.Value)).GetSection(key);
        table.GetType().GetMethod("Read", [typeof(IConfigurationSection), table.Options, typeof(ICollection<string>)])!.Invoke(table, [child, options, errors]);
        return errors;
    }

    /// <summary>Every option by name, as text.</summary>
    private static Dictionary<string, string?> Facts(object options) => options.GetType()
        .GetProperties(BindingFlags.Public | BindingFlags.Instance)
        .ToDictionary(property => property.Name, property => property.GetValue(options) switch
        {
            IEnumerable<string> list => string.Join(',', list),
            IEnumerable<TlsCertificateOptions> list => string.Join(',', list.Select(certificate => certificate.Path)),
            IFormattable fact => fact.ToString(null, CultureInfo.InvariantCulture),
            object fact => fact.ToString(),
            null => null,
        });

    /// <summary>Something that is not the default, and what the option is then.</summary>
    private static (Dictionary<string, string?> Written, string Expected) Sample(Setting setting)
    {
        if (setting.Table is not null)
        {
            return (new() { [":0:Path"] = "a", [":1:Path"] = "b" }, "a,b");
        }

        if (setting.IsList)
        {
            return (new() { [":0"] = "a", [":1"] = "b" }, "a,b");
        }

        (string written, string expected) = setting.Schema switch
        {
            { Type: "integer", Most: long most } when setting.Takes.Contains("0 or at least", StringComparison.Ordinal) => Twice(most.ToString(CultureInfo.InvariantCulture)),
            { Type: "integer", Least: long least } => Twice((least + 7).ToString(CultureInfo.InvariantCulture)),
            { Type: "boolean" } => setting.Default == "true" ? ("false", "False") : ("TRUE", "True"),
            { Values: { } values } => Twice(values.First(value => value != setting.Default)),
            { Pattern: Duration.Pattern } => ("90s", "00:01:30"),
            { Pattern: "^[0-7]{1,4}$" } => ("0640", "GroupRead, UserWrite, UserRead"),
            _ => Twice("text"),
        };
        return (new() { [string.Empty] = written }, expected);

        static (string, string) Twice(string value) => (value, value);
    }

    private static IEnumerable<string> Wrong(Setting setting) => setting.Schema switch
    {
        { Type: "integer", Least: long least, Most: var most } =>
            [(least - 1).ToString(CultureInfo.InvariantCulture), ((most ?? int.MaxValue) + 1).ToString(CultureInfo.InvariantCulture), "x", "1.5", "1 000", "0x10", string.Empty,
            .. setting.Takes.Contains("0 or at least", StringComparison.Ordinal) ? (string[])["1"] : []],
        { Type: "boolean" } => ["yes", "1", string.Empty],
        { Values: not null } => ["0", "nonsense", string.Empty],
        { Pattern: Duration.Pattern } => ["7", "-1s", "-00:00:01", "s", "x", "30 sec", setting.Takes.EndsWith("365d", StringComparison.Ordinal) ? "366d" : "25d", string.Empty,
            .. setting.Takes.Contains("zero or more", StringComparison.Ordinal) || setting.Takes.StartsWith("0s", StringComparison.Ordinal) ? (string[])[] : ["0s"]],
        { Pattern: "^[0-7]{1,4}$" } => ["8", "1000", "rw", string.Empty],
        _ => [string.Empty],
    };
}
