using System.Text.Json;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using ByteStreams;
using ByteStreams.Configuration;

namespace StreamsHost.Tests.Configuration;

/// <summary>
/// docs/configuration.md and docs/appsettings.schema.json say what the code says. <c>BYTESTREAMS_REGENERATE=1</c> in the environment
/// writes them instead.
/// </summary>
public partial class ConfigurationDocumentTests
{
    private const string Schema = "docs/appsettings.schema.json";
    private const string LibrarySchema = "src/Middleware/Configuration/bytestreams.schema.json";
    private const string Document = "docs/configuration.md";

    private static readonly SettingDescriptions Descriptions = new(
        ((string[])["ByteStreams.xml", "StreamsHost.xml"]).Select(file => XDocument.Load(Path.Combine(AppContext.BaseDirectory, file))).ToList());

    private static readonly OtherSection[] Others = [AdminTable.Documented];

    [Fact]
    public void Generate_Schema_IsWhatIsInDocs() => Repository.Compare(Schema, typeof(ConfigurationDocumentTests), _ => ConfigurationSchema.Generate(Descriptions, Others));

    [Fact]
    public void Generate_Document_IsWhatIsInDocs() => Repository.Compare(Document, typeof(ConfigurationDocumentTests), current =>
    {
        int begin = current.IndexOf(ConfigurationDocument.Begin, StringComparison.Ordinal);
        Assert.True(begin >= 0, $"{Document} has no line '{ConfigurationDocument.Begin}', behind which its tables begin.");
        return current[..(begin + ConfigurationDocument.Begin.Length)] + "\n" + ConfigurationDocument.Generate(Descriptions, Others);
    });

    [Fact]
    public void Generate_SchemaOfTheLibrary_IsItsResource() =>
        Repository.Compare(LibrarySchema, typeof(ConfigurationDocumentTests), _ => ConfigurationSchema.Generate(Descriptions));

    [Fact]
    public void JsonSchema_OfTheLibrary_IsTheGeneratedOne() =>
        Assert.Equal(Repository.Read(LibrarySchema), ByteStreamConfiguration.JsonSchema.ReplaceLineEndings("\n"));

    [Fact]
    public void Schema_OurOwnSettings_AreInOrder()
    {
        Assert.Empty(SchemaCheck.GetErrors(Repository.Read(Schema), Repository.Read("appsettings.json")));
        using JsonDocument settings = JsonDocument.Parse(Repository.Read("appsettings.json"));
        Assert.Equal("./" + Schema, settings.RootElement.GetProperty("$schema").GetString());
    }

    [Theory]
    [InlineData("docs/applications.md")]
    [InlineData(Document)]
    public void Schema_ExamplesInProse_AreInOrder(string file)
    {
        string[] examples = [.. JsonBlocks().Matches(Repository.Read(file)).Select(match => match.Groups[1].Value)];

        Assert.NotEmpty(examples);
        Assert.All(examples, example => Assert.Empty(SchemaCheck.GetErrors(Repository.Read(Schema), example)));
    }

    [Theory]
    [InlineData("""{ "Logging": { "LogLevel": { "Default": "Debug" } }, "AllowedHosts": "*", "SecretsDirectory": "/run/secrets" }""")]
    [InlineData("""{ "Admin": { "Enabled": true, "Url": ["http://*:7000", "unix:/run/admin.sock"], "AllowChanges": false } }""")]
    [InlineData("""{ "ByteStreams": { "Endpoints": { "a": { "Relay": { "Tls": { "CaPath": "ca.pem" }, "Connection": { "KeepAlive": false } } } } } }""")]
    [InlineData("""{ "ByteStreams": { "MaxConnections": 0, "Defaults": { "Limit": 1, "Tls": { "Enabled": false } }, "Endpoints": {} } }""")]
    [InlineData("""{ "ByteStreams": { "Endpoints": { "a": { "Access": { "Allow": ["::1"], "Deny": "10.0.0.0/8,unix" } } } } }""")]
    [InlineData("""{ "ByteStreams": { "Endpoints": { "a": { "Tls": { "Certificates": [ { "Path": "a.pem", "Hosts": ["a"] } ] } } } } }""")]
    [InlineData("""{ "ByteStreams": { "Endpoints": { "a": { "Timeouts": { "ReceiveIdle": "1.5h", "SendStall": "1.02:03:04.5" } } } } }""")]
    public void Schema_WhatTheProgramTakes_IsInOrder(string json) => Assert.Empty(SchemaCheck.GetErrors(Repository.Read(Schema), json));

    [Theory]
    [InlineData("""{ "Admin": { "Utl": "unix:/run/admin.sock" } }""", "Admin:Utl: there is no such key")]
    [InlineData("""{ "ByteStreams": { "Endpoint": {} } }""", "ByteStreams:Endpoint: there is no such key")]
    [InlineData("""{ "ByteStreams": { "Endpoints": { "a": { "Lmit": 1 } } } }""", "ByteStreams:Endpoints:a:Lmit: there is no such key")]
    [InlineData("""{ "ByteStreams": { "Endpoints": { "a": { "Limit": 0 } } } }""", "ByteStreams:Endpoints:a:Limit: 0 against \"minimum\": 1")]
    [InlineData("""{ "ByteStreams": { "Endpoints": { "a": { "KeepAliveCount": 128 } } } }""", "ByteStreams:Endpoints:a:KeepAliveCount: 128 against \"maximum\": 127")]
    [InlineData("""{ "ByteStreams": { "Endpoints": { "a": { "NoDelay": "yes" } } } }""", "ByteStreams:Endpoints:a:NoDelay: yes against \"type\": \"boolean\"")]
    [InlineData("""{ "ByteStreams": { "Defaults": { "Url": "tcp://*:1" } } }""", "ByteStreams:Defaults:Url: there is no such key")]
    [InlineData("""{ "ByteStreams": { "Endpoints": { "a": { "Tls": { "Certificates": [ { "Pth": "" } ] } } } } }""", "ByteStreams:Endpoints:a:Tls:Certificates:0:Pth: there is no such key")]
    public void Schema_WhatTheProgramRefuses_IsInvalid(string json, string error) =>
        Assert.Equal(error, Assert.Single(SchemaCheck.GetErrors(Repository.Read(Schema), json)));

    [Theory]
    [InlineData("Engine", "\"epol\"")]
    [InlineData("Url", "\"http://x:1\"")]
    [InlineData("LingerTimeout", "\"2\"")]
    [InlineData("UnixSocketMode", "\"0999\"")]
    public void Schema_WrongText_IsInvalid(string key, string value) =>
        Assert.Single(SchemaCheck.GetErrors(Repository.Read(Schema), $$"""{ "ByteStreams": { "Endpoints": { "a": { "{{key}}": {{value}} } } } }"""));

    [Fact]
    public void Of_Property_IsItsSummaryAsMarkdown()
    {
        Assert.Equal("What happens when all places (the endpoint's, or those of all endpoints together) are taken: `Refuse` by default.", Descriptions.Of(typeof(AdmissionOptions), "WhenFull"));
        // From the base class, and with code of its own.
        Assert.Contains("a quarter of `WriteBufferHighWater` by default", Descriptions.Of(typeof(ByteStreamServerOptions), "WriteBufferLowWater"), StringComparison.Ordinal);
        Assert.Contains("`.", Descriptions.Of(typeof(EndpointConfiguration), "Defaults"), StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => Descriptions.Of(typeof(AdmissionOptions), "NoSuchOption"));
    }

    [GeneratedRegex("```json\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex JsonBlocks();
}
