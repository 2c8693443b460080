using System.Globalization;
using System.Reflection;
using ByteStreams.Configuration;
using ByteStreams.Transport.Validation;

namespace ByteStreams.Middleware.Tests.Configuration;

/// <summary>Each range stands once: an options type's validation and its configuration key refuse the same values.</summary>
public class OptionRangeTests
{
    public static TheoryData<string, string, string> OutOfRange()
    {
        var rows = new TheoryData<string, string, string>();
        foreach (((string path, SettingTable table), Setting setting) in EndpointTableTests.All().SelectMany(pair => pair.Table.All.Select(setting => (pair, setting))))
        {
            foreach (object? value in Beyond(setting, table.Options.GetProperty(setting.Name)?.PropertyType))
            {
                rows.Add(path, setting.Name, string.Create(CultureInfo.InvariantCulture, $"{value}"));
            }
        }

        return rows;
    }

    [Theory]
    [MemberData(nameof(OutOfRange))]
    public void Validate_ValueOutOfRange_IsRefusedByOptionsAndByConfigurationWithOneRequirement(string path, string key, string text)
    {
        (_, SettingTable table) = EndpointTableTests.All().Single(pair => pair.Path == path);
        Setting setting = table.All.Single(setting => setting.Name == key);
        PropertyInfo property = table.Options.GetProperty(key)!;
        object options = Activator.CreateInstance(table.Options)!;
        Type type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        object value = type == typeof(TimeSpan) ? TimeSpan.Parse(text, CultureInfo.InvariantCulture) : Convert.ChangeType(text, type, CultureInfo.InvariantCulture);

        string requirement = setting.Takes.Replace("0s for no limit, or ", string.Empty, StringComparison.Ordinal);
        Assert.Contains(requirement, Error(options, property, value), StringComparison.Ordinal);
        if (!setting.Takes.StartsWith("0s for no limit", StringComparison.Ordinal) || value is not TimeSpan { Ticks: 0 })
        {
            string written = value is TimeSpan time ? time.ToString("c", CultureInfo.InvariantCulture) : text;
            Assert.Equal(
                [$"{EndpointTableTests.Path}:{key}: '{written}' is not valid. It takes {setting.Takes}."],
                EndpointTableTests.Read(table, key, new() { [string.Empty] = written }, options));
        }
    }

    [Fact]
    public void Validate_EachNumberAndTimeOfTheTable_HasARange() =>
        Assert.All(
            EndpointTableTests.All().SelectMany(pair => pair.Table.All.Select(setting => (pair.Table, Setting: setting)))
                .Where(pair => pair.Setting.Schema is { Type: "integer" } or { Pattern: Duration.Pattern }),
            pair => Assert.NotEmpty(Beyond(pair.Setting, pair.Table.Options.GetProperty(pair.Setting.Name)!.PropertyType)));

    [Fact]
    public void HandshakeTimeout_BothServerSurfaces_HaveOneDefault() =>
        Assert.Equal(new TlsServerOptions().HandshakeTimeout, new ByteStreamServerOptions().TlsHandshakeTimeout);

    /// <summary>The values next to the range.</summary>
    private static IEnumerable<object> Beyond(Setting setting, Type? type)
    {
        if (setting is { Schema: { Type: "integer", Least: long least, Most: long most } })
        {
            yield return least - 1;
            if (most < int.MaxValue || type == typeof(long) || type == typeof(long?))
            {
                yield return most + 1;
            }
        }
        else if (setting.Schema.Pattern == Duration.Pattern)
        {
            yield return TimeSpan.FromTicks(-1);
            yield return setting.Takes.Contains("at most 365d", StringComparison.Ordinal) ? TimeSpan.FromDays(365) + TimeSpan.FromTicks(1) : TimeSpan.FromDays(24) + TimeSpan.FromTicks(1);
            if (!setting.Takes.Contains("zero or more", StringComparison.Ordinal))
            {
                yield return TimeSpan.Zero;
            }
        }
    }

    private static string Error(object options, PropertyInfo property, object value)
    {
        try
        {
            property.SetValue(options, value);
        }
        catch (TargetInvocationException refused) when (refused.InnerException is ArgumentOutOfRangeException error)
        {
            return error.Message;
        }

        return options switch
        {
            ByteStreamTransportOptions transport => Assert.Throws<ArgumentException>(transport.Validate).Message,
            TimeoutOptions timeouts => Assert.Throws<ArgumentException>(timeouts.Validate).Message,
            AdmissionOptions admission => Assert.Throws<ArgumentException>(admission.Validate).Message,
            ProxyProtocolOptions proxy => Assert.Throws<ArgumentException>(proxy.Validate).Message,
            TlsServerOptions tls => Assert.Throws<ArgumentException>(tls.Validate).Message,
            RelayOptions relay => Assert.Throws<ArgumentException>(relay.Validate).Message,
            ServiceSettings service => Assert.Single(ServiceSettings.Ranges.Validate(service)),
            _ => throw new InvalidOperationException($"{options.GetType().Name} has no validation."),
        };
    }
}
